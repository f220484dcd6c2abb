"""A callback that returns an awaitable is only called again when that is done."""

import asyncio

import pytest
from message_queue.fakes import FakePeer, Taker, numbers, turn
from support.answers import until


class Slow:
    """A callback whose awaitable completes when the test calls `done`."""

    def __init__(self):
        self.calls = []
        self.under_way = []

    def __call__(self, *events):
        self.calls.append(numbers(events))
        self.under_way.append(asyncio.get_running_loop().create_future())
        return self.under_way[-1]

    async def done(self):
        self.under_way[-1].set_result(None)
        await turn()


@pytest.mark.gen_test
async def test_stream(queue):
    """A slow callback gets later events with its next call, and does not delay other callbacks."""
    slow, fast = Slow(), Taker()
    queue.poll("slow", slow)
    queue.poll("fast", fast)
    for n in range(4):
        await queue.publish({"n": n})
    await until(lambda: fast.calls == [[0], [1], [2], [3]])
    assert slow.calls == [[0]]
    await slow.done()
    assert slow.calls == [[0], [1, 2, 3]]
    await slow.done()
    await queue.publish({"n": 4})
    await until(lambda: slow.calls == [[0], [1, 2, 3], [4]])


@pytest.mark.gen_test
async def test_log_keeps(make_queue):
    """More events than the backlog are kept for a slow callback."""
    queue = make_queue(backlog_length=2)
    slow = Slow()
    queue.poll("slow", slow)
    for n in range(20):
        await queue.publish({"n": n})
    await slow.done()
    assert slow.calls == [[0], [*range(1, 20)]]


@pytest.mark.gen_test
async def test_coroutine_function(queue):
    """`async def` callbacks run one at a time, in order."""
    seen = []

    async def callback(*events):
        for n in numbers(events):
            seen.append(("begin", n))
            await asyncio.sleep(0)
            seen.append(("end", n))

    queue.poll("me", callback)
    for n in range(5):
        await queue.publish({"n": n})
        await asyncio.sleep(0)
    await until(lambda: len(seen) == 10)
    assert seen == [(what, n) for n in range(5) for what in ("begin", "end")]


@pytest.mark.gen_test
async def test_gone_meanwhile(queue):
    """A client that leaves before its callback's work is done gets the events again."""
    slow = Slow()
    poll = queue.poll("me", slow)
    await queue.publish({"n": 1})
    await queue.publish({"n": 2})
    poll.cancel()
    await slow.done()
    assert slow.calls == [[1]]
    assert numbers(await queue.poll_once("me")) == [1, 2]


@pytest.mark.gen_test
async def test_long_poll_counts_when_it_is_done(queue):
    """A long poll ends, and its events are confirmed, when the work of its callback is done."""
    slow = Slow()
    queue.poll_once("me", slow)
    await queue.publish({"n": 1})
    assert queue.clients["me"].listener is not None
    await slow.done()
    assert queue.clients["me"].listener is None
    assert await queue.poll_once("me", timeout=0) == []


@pytest.mark.gen_test
async def test_long_poll_of_a_request_counts_when_the_answer_is_complete(queue):
    """The poll of a request ends, and its events are confirmed, when the answer is complete."""
    peer, slow = FakePeer(), Slow()
    peer.on_new_event = slow
    slow.__self__ = peer
    queue.poll_once("me", slow)
    await queue.publish({"n": 1})
    await slow.done()
    assert queue.clients["me"].listener is not None
    peer.complete()
    assert await queue.poll_once("me", timeout=0) == []


@pytest.mark.gen_test
async def test_other_results(queue):
    """A return value that is not awaitable is ignored."""
    seen = []
    for result in (0, "x", [], object()):
        queue.poll(repr(result), lambda *events, result=result: seen.append(1) or result)
    await queue.publish({"n": 1})
    await queue.publish({"n": 2})
    await until(lambda: len(seen) == 8)
