"""`flush_events` sends events to one client of a `SubscribeHandler`, between those of the log."""

import pytest
from support.wire import soon


def numbered(*numbers):
    return [{"n": number} for number in numbers]


@pytest.mark.gen_test
async def test_order(subscriber, queue, stream):
    """Flushed events arrive after the events that were published before them, even during a burst,
    and no event arrives twice.
    """
    client = subscriber(stream, cursor=queue.cursor(), client_id="ann")
    await client.start()
    for n in range(0, 8, 2):
        queue.publish({"n": n})
        assert queue.flush_events("ann", {"n": n + 1}) is True
    queue.publish(*numbered(8, 9))
    assert await client.take(10) == numbered(*range(10))
    assert client.cursor == queue.cursor()
    client.close()
    queue.publish({"n": 10})
    await client.start()
    assert await client.take(1) == numbered(10)


@pytest.mark.gen_test
async def test_after_it_left(subscriber, queue, stream):
    """`flush_events` returns False for a client that has left."""
    client = subscriber(stream, cursor=queue.cursor(), client_id="ann")
    await client.start()
    client.close()
    await soon(lambda: not queue.flush_events("ann", {"n": 1}))
