"""Subscribers at a port of this machine, of the channel "room" unless a test says otherwise."""

from functools import partial

from tatsumaki_py.testing import Subscriber
from tatsumaki_py.testing.readers import READERS


def subscriber(
    transport, port, path="/events/room", cursor=None, connect=None, headers=(), **params
):
    """A `Subscriber`, not connected. `connect` is an async function of a port that gives a
    `Connection`.
    """
    return Subscriber(
        f"http://127.0.0.1:{port}{path}",
        transport,
        cursor=cursor,
        connect=connect and partial(connect, port),
        headers=dict(headers),
        params=params,
    )


CLIENTS = {name: partial(subscriber, name) for name in READERS}
"""All transports, by their name in ``?transport=``."""
STREAMS = [name for name, reader in READERS.items() if reader.streams]


async def read_to_end(client):
    """The data of all events until the server ends the stream, regularly."""
    return [message.data async for message in client]
