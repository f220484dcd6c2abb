"""The cost of `publish`, counted in function calls, does not depend on absent clients."""

import gc
import sys

import pytest
from message_queue.fakes import Taker

from tatsumaki_py import MessageQueue


def calls(function):
    """The number of calls of Python and C functions while `function` runs."""
    count = 0

    def profile(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    # Other code may have added callbacks to the garbage collector.
    gc.disable()
    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


async def cost(queue, absent):
    for i in range(absent):
        await queue.poll_once(f"{absent} {i}", timeout=0, last_event_id=queue.cursor())
    queue.publish({"n": 0})
    return calls(lambda: queue.publish({"n": 1}))


@pytest.mark.gen_test
async def test_absent_clients(make_queue):
    """`publish` makes as many calls with a thousand absent clients as with one."""
    for listeners in (0, 3):
        costs = []
        for absent in (1, 1000):
            queue = make_queue(f"room {listeners} {absent}")
            for i in range(listeners):
                queue.poll(f"listener{i}", Taker())
            costs.append(await cost(queue, absent))
        assert costs[0] == costs[1]


@pytest.mark.gen_test
async def test_channels(make_queue):
    """`publish` makes as many calls with 500 other channels as without."""
    queue = make_queue("one")
    before = await cost(queue, 1)
    for i in range(500):
        MessageQueue.instance(f"other{i}").publish({"n": 1})
    assert calls(lambda: queue.publish({"n": 1})) == before


@pytest.mark.gen_test
async def test_listeners(queue):
    """Each stream that keeps up adds the same number of calls, at most five."""
    costs = []
    for count in (10, 20, 30):
        for i in range(count - 10, count):
            queue.poll(f"{i}", lambda *events: None)
        queue.publish({"n": 0})
        # Sometimes a call also evicts `Recent` events of other tests.
        costs.append(min(calls(lambda: queue.publish({"n": 1})) for _ in range(5)))
    assert costs[2] - costs[1] == costs[1] - costs[0]
    assert (costs[2] - costs[1]) / 10 <= 5
