"""Names may be ints where they were in Perl: an int is its text."""

import pytest
from message_queue.fakes import Taker, numbers

from tatsumaki_py import MessageQueue


@pytest.mark.gen_test
async def test_channel():
    """The channel 1 and the channel "1" are one, alone and among others."""
    assert MessageQueue.instance(1) is MessageQueue.instance("1")
    assert MessageQueue.instance(1).channel == "1"
    assert MessageQueue.instance("a", 1) is MessageQueue.instance("1", "a")


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_client(queue):
    """So are clients, whatever they poll with."""
    taker = Taker()
    await queue.publish({"n": 1})
    assert numbers(await queue.poll_once(1)) == [1]
    assert await queue.poll_once("1", timeout=0) == []
    queue.poll(1, taker)
    assert [*queue.clients] == ["1"]
    assert queue.flush_events(1, {"n": 2})
    assert taker.calls == [[2]]
