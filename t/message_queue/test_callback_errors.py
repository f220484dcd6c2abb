"""A callback that raises hurts nobody else, is logged, and its client loses nothing."""

import asyncio

import pytest
from message_queue.fakes import FakePeer, Taker, events, numbers, turn
from support.answers import until

from tatsumaki_py import Error

LINE = r"callback of client \w{8} on channel 'room' raised"


class Bad(Taker):
    """Raises at the first call."""

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
    """The publisher does not notice, everybody else gets the event, the log has both ids."""
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
    """Its events come again with the next poll."""
    queue.poll_once("bad", Bad(RuntimeError()))
    with expect_log("tatsumaki", LINE):
        await queue.publish({"n": 1})
    await queue.publish({"n": 2})
    assert numbers(await queue.poll_once("bad")) == [1, 2]


@pytest.mark.gen_test
async def test_stream_goes_on_after_it(queue, expect_log):
    """A stream that belongs to no request goes on with the next event: no endless repetition."""
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
    """The request is told, the poll is over, and the events come again."""

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
    """Error.HTTP is told to the request and is no line in the log."""

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
    """ClientDisconnect ends the poll without a word; the client gets the event when it is back."""
    getattr(queue, poll)("me", Bad(Error.ClientDisconnect()))
    await queue.publish({"n": 1})
    assert queue.clients["me"].listener is None
    assert numbers(await queue.poll_once("me")) == [1]


@pytest.mark.parametrize("poll", ["poll", "poll_once"])
@pytest.mark.gen_test
async def test_coroutine_that_raises(queue, expect_log, poll):
    """The same for what a coroutine function raises later."""

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
    """A callback that was cancelled does not have its events."""
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
    """That the client has left is noticed while it is being told: it does not have the event."""

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
    """A pass in which somebody raises leaves the log as it is."""
    for i in range(3):
        queue.poll(f"bad{i}", Bad(RuntimeError()))
    with expect_log("tatsumaki", r"callback of client \w{8} on channel 'room' raised") as records:
        await queue.publish(*events(1, 2))
        await until(lambda: len(records) == 3)
    assert numbers(queue.backlog_events) == [1, 2]
