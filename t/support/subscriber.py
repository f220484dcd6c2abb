"""Subscribers of a server on this machine, by default to the channel "room"."""

from functools import partial

from tatsumaki_py.testing import Subscriber
from tatsumaki_py.testing.readers import READERS


def subscriber(
    transport, port, path="/events/room", cursor=None, connect=None, headers=(), **params
):
    """A `Subscriber` that is not connected yet.

    Args:
        connect: an async function that takes the port and returns a `Connection`.
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
"""A function for each transport, by its name in ``?transport=``, that makes a subscriber."""
STREAMS = [name for name, reader in READERS.items() if reader.streams]


async def read_to_end(client):
    """The data of all events until the server ends the stream normally."""
    return [message.data async for message in client]
