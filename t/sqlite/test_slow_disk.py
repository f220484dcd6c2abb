"""While the disk does not answer, the event loop keeps running, and waiting data is bounded."""

import asyncio
import sqlite3
import time

import pytest
from message_queue.fakes import Taker, events, numbers

from tatsumaki_py import Error, MessageQueue
from tatsumaki_py.message_queue.engine.sqlite import engine, trouble, writer


@pytest.fixture
def hold(program):
    """`release = hold()` locks the file from outside: no write completes before `release()`."""
    held = []

    def hold():
        other = sqlite3.connect(program.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        held.append(other)
        return other.close

    yield hold
    for other in held:
        other.close()


class Watch:
    """`with Watch() as watch:` measures the longest iteration of the loop in s, `watch.longest`."""

    async def _watch(self):
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0)
            self.longest = max(self.longest, time.perf_counter() - before)

    def __enter__(self):
        self.longest = 0.0
        self._watching = asyncio.ensure_future(self._watch())
        return self

    def __exit__(self, *error):
        self._watching.cancel()


@pytest.mark.gen_test
async def test_the_loop_goes_on(program, hold):
    """While a write waits, channels are opened, clients are answered, and `close` waits as well."""
    queue = program.start()
    await queue.publish(*events(1, 2))
    release = hold()
    with Watch() as watch:
        call = asyncio.ensure_future(asyncio.wait_for(queue.publish({"n": 3})._ids, 10))
        assert numbers(await queue.poll_once(None)) == [1, 2]
        MessageQueue.instance("other").poll("me", Taker())
        closing = asyncio.ensure_future(program.engine.close())
        await asyncio.sleep(0.2)
        assert not call.done()
        assert not closing.done()
        release()
        assert len(await call) == 1
        await closing
    assert watch.longest < 0.2


@pytest.mark.gen_test
async def test_too_much_waits(program, hold, monkeypatch, expect_log):
    """If too much waits, a publish raises a 503; events accepted before are stored in order."""
    monkeypatch.setattr(engine, "MAX_WAITING", 10_000)
    monkeypatch.setattr(trouble, "CALM", 0.0)
    queue = program.start()
    await queue.publish({"n": 0})
    release = hold()
    accepted = [queue.publish({"n": n, "text": "x" * 500}) for n in range(1, 11)]
    with expect_log("tatsumaki", "cannot be stored in .*: .*too many events wait") as lines:
        for _ in range(3):
            with pytest.raises(Error.HTTP, match="too many events wait for the disk") as error:
                queue.publish({"n": 99})
            assert error.value.code == 503
    assert len(lines) == 1
    with expect_log("tatsumaki", "can be stored in .* again"):
        release()
        for call in accepted:
            await call
        await queue.publish({"n": 11})
    assert numbers(queue.backlog_events) == [*range(12)]


@pytest.mark.gen_test
async def test_clients_and_publishers_take_turns(program, monkeypatch):
    """A client that asks for older events gets them before all waiting events are stored."""
    settings = {"backlog_length": 1}
    queue = program.start(**settings)
    ids = await queue.publish(*events(*range(10)))
    await program.stop()
    queue = program.start(**settings)
    monkeypatch.setattr(writer, "BATCH", 1)
    other = MessageQueue.instance("other")
    before = [other.publish({"n": 0}) for _ in range(5)]
    poll = queue.poll_once(None, last_event_id=ids[0])
    await asyncio.sleep(0)
    after = [other.publish({"n": 0}) for _ in range(200)]
    assert numbers(await poll) == [*range(1, 10)]
    assert all(call._ids.done() for call in before)
    assert not after[-1]._ids.done()
    await after[-1]
