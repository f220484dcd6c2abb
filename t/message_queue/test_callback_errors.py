"""An exception in a callback is logged and does not affect other clients."""

import asyncio

import pytest
from message_queue.fakes import FakePeer, Taker, events, numbers, turn
from support.answers import until

from tatsumaki_py import Error

LINE = r"callback of client \w{8} on channel 'room' raised"


class Bad(Taker):
    """A callback that raises `error` in its first call."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def __call__(self, *events):
        super().__call__(*events)
        error, self.error = self.error, None
        if error is not None:
            raise error


@pytest.mark.parametrize("error", [RuntimeError("boo"), Error.HTTP(404), asyncio.CancelledError()])
@pytest.mark.parametrize("poll", ["poll", "poll_once"])
@pytest.mark.gen_test
async def test_others_and_publisher(queue, expect_log, poll, error):
    """If a callback raises, publishing succeeds, others get the event, and a line is logged."""
    before, after, bad = Taker(), Taker(), Bad(error)
    for name, taker in (("a", before), ("bad", bad), ("z", after)):
        getattr(queue, poll)(name, taker)
    with expect_log("tatsumaki", LINE) as records:
        await queue.publish({"n": 1})
        await until(lambda: records)
    assert records[0].exc_info[1] is error
    await until(lambda: before.calls == after.calls == bad.calls == [[1]])


@pytest.mark.gen_test
async def test_long_poll_loses_nothing(queue, expect_log):
    """If the callback of a long poll raises, its events come again with the next poll."""
    queue.poll_once("bad", Bad(RuntimeError()))
    with expect_log("tatsumaki", LINE):
        await queue.publish({"n": 1})
    await queue.publish({"n": 2})
    assert numbers(await queue.poll_once("bad")) == [1, 2]


@pytest.mark.gen_test
async def test_stream_goes_on_after_it(queue, expect_log):
    """If a callback raises, a stream without a request continues with the next event."""
    bad = Bad(RuntimeError())
    queue.poll("bad", bad)
    with expect_log("tatsumaki", LINE):
        await queue.publish({"n": 1})
    await queue.publish({"n": 2})
    await until(lambda: bad.calls == [[1], [2]])


@pytest.mark.parametrize("first", ["at once", "later"])
@pytest.mark.parametrize("poll", ["poll", "poll_once"])
@pytest.mark.gen_test
async def test_with_a_peer(queue, expect_log, poll, first):
    """If a request's callback raises, the request gets the error, and no event is lost."""

    class BadPeer(FakePeer):
        def on_new_event(self, *events):
            raise ValueError("boo")

    if first == "at once":
        await queue.publish({"n": 1})
    peer = BadPeer()
    with expect_log("tatsumaki", LINE):
        getattr(queue, poll)("bad", peer.on_new_event)
        await queue.publish({"n": 1})
    assert [str(error) for error in peer.failures] == ["boo"]
    assert peer.watchers == {}
    again = numbers(await queue.poll_once("bad"))
    assert again == ([1, 1] if first == "at once" else [1])


@pytest.mark.gen_test
async def test_http_error_is_an_answer(queue):
    """If a callback raises `Error.HTTP`, the request gets it, and nothing is logged."""

    class Forbidding(FakePeer):
        def on_new_event(self, *events):
            Error.HTTP.throw(403)

    peer = Forbidding()
    queue.poll_once("bad", peer.on_new_event)
    await queue.publish({"n": 1})
    assert [error.code for error in peer.failures] == [403]


@pytest.mark.parametrize("poll", ["poll", "poll_once"])
@pytest.mark.gen_test
async def test_client_disconnect(queue, poll):
    """ClientDisconnect ends the poll without a log line; the next poll gets the event again."""
    getattr(queue, poll)("me", Bad(Error.ClientDisconnect()))
    await queue.publish({"n": 1})
    assert queue.clients["me"].listener is None
    assert numbers(await queue.poll_once("me")) == [1]


@pytest.mark.parametrize("poll", ["poll", "poll_once"])
@pytest.mark.gen_test
async def test_coroutine_that_raises(queue, expect_log, poll):
    """A later exception in an async callback is logged; the event of a long poll comes again."""

    async def bad(*events):
        await asyncio.sleep(0)
        raise RuntimeError("boo")

    getattr(queue, poll)("bad", bad)
    with expect_log("tatsumaki", LINE):
        await queue.publish({"n": 1})
        await turn()
    if poll == "poll_once":
        assert numbers(await queue.poll_once("bad")) == [1]


@pytest.mark.parametrize("poll", ["poll", "poll_once"])
@pytest.mark.gen_test
async def test_coroutine_that_is_cancelled(queue, poll):
    """If a callback's coroutine is cancelled, its poll ends, and its events come again."""
    tasks = []

    async def slow(*events):
        tasks.append(asyncio.current_task())
        await asyncio.sleep(60)

    getattr(queue, poll)("me", slow)
    await queue.publish({"n": 1})
    await turn()
    tasks[0].cancel()
    await turn()
    assert queue.clients["me"].listener is None
    assert numbers(await queue.poll_once("me")) == [1]


@pytest.mark.gen_test
async def test_gone_inside_the_callback(queue):
    """If the client leaves during its callback, its poll ends, and the event comes again."""

    class Leaver(FakePeer):
        def on_new_event(self, *events):
            self.leave()

    for poll in (queue.poll, queue.poll_once):
        await queue.poll_once("me", timeout=0)
        poll("me", Leaver().on_new_event)
        await queue.publish({"n": 1})
        assert queue.clients["me"].listener is None
        assert numbers(await queue.poll_once("me")) == [1]


@pytest.mark.gen_test
async def test_backlog_and_order_survive(queue, expect_log):
    """Callbacks that raise do not change the backlog."""
    for i in range(3):
        queue.poll(f"bad{i}", Bad(RuntimeError()))
    with expect_log("tatsumaki", r"callback of client \w{8} on channel 'room' raised") as records:
        await queue.publish(*events(1, 2))
        await until(lambda: len(records) == 3)
    assert numbers(queue.backlog_events) == [1, 2]
