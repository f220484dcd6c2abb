"""The writer thread ends after `close` or an unexpected exception; no job waits forever."""

import asyncio

import pytest
from message_queue.fakes import Taker, numbers

from tatsumaki_py import Error
from tatsumaki_py.message_queue.engine.sqlite.store import Store


@pytest.mark.gen_test
async def test_a_mistake(program, monkeypatch, expect_log):
    """If the thread fails, waiting publishers get a 503; the next publish starts a new thread."""
    queue = program.start()
    taker = Taker()
    queue.poll("me", taker)
    await queue.publish({"n": 1})

    def write(*args):
        raise SystemExit("a mistake")

    ended = expect_log("tatsumaki", "the writer thread of /.* has ended")
    told = expect_log("tatsumaki", "events cannot be stored in .*a mistake")
    with monkeypatch.context() as patch, ended, told:
        patch.setattr(Store, "write", write)
        calls = [queue.publish({"n": 2}), queue.publish({"n": 3})]
        for call in calls:
            with pytest.raises(Error.HTTP, match="the writer thread has ended") as error:
                await asyncio.wait_for(call._ids, 5)
            assert error.value.code == 503
    await queue.publish({"n": 4})
    assert taker.seen == [1, 4]
    assert numbers(queue.backlog_events) == [1, 4]


@pytest.mark.gen_test
async def test_publishing_while_it_closes(program):
    """Each event that is published while the engine closes is stored."""
    queue = program.start(backlog_length=1)
    await queue.publish({"n": 0})
    published = []

    async def publish(first):
        for n in range(first, first + 20):
            published.extend(await asyncio.wait_for(queue.publish({"n": n})._ids, 5))
            await asyncio.sleep(0.001)

    async def close():
        for _ in range(5):
            await program.engine.close()

    await asyncio.gather(publish(100), publish(200), publish(300), close(), close())
    assert len(set(published)) == 60
    assert len(await queue.poll_once("me")) == 1
    start = published[0]
    await program.stop()
    queue = program.start(backlog_length=100)
    assert len(queue.backlog_events) == 61
    assert start in [event.id for event in queue.backlog_events]


def test_callbacks_that_publish_while_it_closes(program):
    """Events that callbacks publish during `close` are stored: the file is opened again."""

    async def main():
        queue = program.start()
        taker = Taker()
        queue.poll("me", taker)

        def again(event):
            if event["n"] < 3:
                queue.publish({"n": event["n"] + 1})

        queue.poll("you", again)
        queue.publish({"n": 1})
        await program.engine.close()
        await program.engine.close()
        await program.engine.close()
        return taker.seen

    assert asyncio.run(main()) == [1, 2, 3]
