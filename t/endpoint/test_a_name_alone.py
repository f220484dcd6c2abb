"""Clients that reconnect with only a name resume according to how their connection ended."""

import asyncio
from functools import partial

import pytest
from support.wire import soon

from tatsumaki_py import MessageQueue
from tatsumaki_py.testing import Connection


async def numbers(client, count):
    return [(await client.next()).data["n"] for _ in range(count)]


async def gone(queue):
    await soon(lambda: queue.clients["ann"].listener is None)


@pytest.mark.gen_test
async def test_a_reset(subscriber, queue, stream):
    """Events that the client did not read before a reset are sent again."""
    queue.publish({"n": 0})
    client = subscriber(stream, client_id="ann")
    await client.open()
    assert await numbers(client, 1) == [0]
    for n in range(1, 6):
        queue.publish({"n": n})
    await asyncio.sleep(0.05)
    client.connection.reset()
    await gone(queue)
    again = subscriber(stream, client_id="ann")
    await again.open()
    assert (await numbers(again, 6))[-5:] == [1, 2, 3, 4, 5]


@pytest.mark.gen_test
async def test_a_reset_that_the_server_does_not_know_of(subscriber, queue, stream):
    """A client gets its unread events again even if it reconnects before the server notices the
    reset.
    """
    client = subscriber(stream, client_id="ann")
    again = subscriber(stream, client_id="ann", connect=partial(reset_and_connect, client))
    await client.open()
    await soon(lambda: queue.clients)
    for n in range(5):
        queue.publish({"n": n})
    await asyncio.sleep(0.05)
    # One step: meanwhile, the server runs only the code that the connection needs.
    await again.open()
    assert await numbers(again, 5) == [0, 1, 2, 3, 4]


async def reset_and_connect(client, port):
    connection = await Connection.connect(port)
    client.connection.reset()
    return connection


@pytest.mark.parametrize("stream", ["sse", "ndjson", "multipart"])
@pytest.mark.gen_test
async def test_an_orderly_end(subscriber, queue, stream):
    """After an orderly end of its connection, a client resumes after the last event that
    was sent.
    """
    client = subscriber(stream, client_id="ann")
    await client.open()
    await soon(lambda: queue.clients)
    queue.publish({"n": 0})
    assert await numbers(client, 1) == [0]
    client.connection.close()
    await gone(queue)
    queue.publish({"n": 1})
    again = subscriber(stream, client_id="ann")
    await again.open()
    assert await numbers(again, 1) == [1]


@pytest.mark.gen_test
async def test_the_end_of_a_websocket(subscriber, queue):
    """Only a close frame confirms the sent events; a connection that just ends does not."""
    for n, goodbye in enumerate([True, False]):
        client = subscriber("websocket", client_id="ann")
        await client.open()
        await soon(lambda: queue.clients["ann"].listener)
        queue.publish({"n": n})
        assert await numbers(client, 1) == [n]
        if goodbye:
            await client.connection.send(bytes([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8]))
        else:
            client.connection.close()
        await gone(queue)
    again = subscriber("websocket", client_id="ann")
    await again.open()
    assert await numbers(again, 1) == [1]


@pytest.mark.gen_test
async def test_a_cursor_wins(subscriber, queue, stream):
    """A client that sends a cursor resumes after that event, even if its connection was reset."""
    client = subscriber(stream, client_id="ann")
    await client.open()
    await soon(lambda: queue.clients)
    for n in range(3):
        queue.publish({"n": n})
    assert await numbers(client, 3) == [0, 1, 2]
    client.connection.reset()
    await gone(queue)
    queue.publish({"n": 3})
    again = subscriber(stream, client_id="ann", cursor=client.cursor)
    await again.open()
    assert await numbers(again, 1) == [3]


@pytest.mark.gen_test
async def test_several_channels(subscriber, stream):
    """A client of several channels gets its unread events again after a reset."""
    a, b = MessageQueue.instance("a"), MessageQueue.instance("b")
    client = subscriber(stream, path="/events", channel=["a", "b"], client_id="ann")
    await client.open()
    await soon(lambda: a.subscribers)
    for n in range(4):
        (a, b)[n % 2].publish({"n": n})
    await asyncio.sleep(0.05)
    client.connection.reset()
    await soon(lambda: MessageQueue.instance("a", "b").clients["ann"].listener is None)
    again = subscriber(stream, path="/events", channel=["a", "b"], client_id="ann")
    await again.open()
    assert sorted(await numbers(again, 4)) == [0, 1, 2, 3]
