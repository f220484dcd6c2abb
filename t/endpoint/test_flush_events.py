"""`flush_events` to a client of a `SubscribeHandler`: between the events of the log."""

import pytest
from support.wire import soon


def numbered(*numbers):
    return [{"n": number} for number in numbers]


@pytest.mark.gen_test
async def test_order(subscriber, queue, stream):
    """They come after the events that were published before, none of which comes twice, also if
    the burst is not over.
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
    """A client that is gone is not there."""
    client = subscriber(stream, cursor=queue.cursor(), client_id="ann")
    await client.start()
    client.close()
    await soon(lambda: not queue.flush_events("ann", {"n": 1}))
