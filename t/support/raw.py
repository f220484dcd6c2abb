"""Bare connections, for tests in which each byte, or how a client disconnects, matters."""

import pytest

from tatsumaki_py.testing import Connection


@pytest.fixture
def raw(io_loop):
    """`client = await raw(port)` connects a `Connection`; all are closed after the test."""
    clients = []

    async def connect(port):
        clients.append(await Connection.connect(port))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


@pytest.fixture
def raw_small(io_loop):
    """Works as `raw`, with small receive buffers: a client that does not read is slow soon."""
    clients = []

    async def connect(port):
        clients.append(await Connection.connect(port, receive_buffer=4096))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()
