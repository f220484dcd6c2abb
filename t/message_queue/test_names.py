"""A name may be an int, as in Perl: it is converted to its text."""

import pytest
from message_queue.fakes import Taker, numbers

from tatsumaki_py import MessageQueue


@pytest.mark.gen_test
async def test_channel():
    """The channel 1 is the same as the channel "1", alone or together with other channels."""
    assert MessageQueue.instance(1) is MessageQueue.instance("1")
    assert MessageQueue.instance(1).channel == "1"
    assert MessageQueue.instance("a", 1) is MessageQueue.instance("1", "a")


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_client(queue):
    """The client 1 is the same as the client "1" in all methods."""
    taker = Taker()
    await queue.publish({"n": 1})
    assert numbers(await queue.poll_once(1)) == [1]
    assert await queue.poll_once("1", timeout=0) == []
    queue.poll(1, taker)
    assert [*queue.clients] == ["1"]
    assert queue.flush_events(1, {"n": 2})
    assert taker.calls == [[2]]
