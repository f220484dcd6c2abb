"""A client that is nothing but a socket, for tests where the bytes or the way of leaving matter."""

import asyncio
import socket
import struct

import pytest


class RawClient:
    """A non-blocking TCP connection to 127.0.0.1.

    Nothing is read ahead: a client that does not ask is a slow reader.
    """

    def __init__(self, sock):
        self.sock = sock
        self._buffer = b""

    @classmethod
    async def connect(cls, port):
        sock = socket.socket()
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    async def send(self, data):
        """Sends all of `data` (bytes)."""
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def read_until(self, mark):
        """Returns the bytes up to and with `mark`; `EOFError` if the peer closes before."""
        while mark not in self._buffer:
            chunk = await self._receive()
            if not chunk:
                raise EOFError(self._buffer)
            self._buffer += chunk
        head, self._buffer = self._buffer.split(mark, 1)
        return head + mark

    async def read_exactly(self, size):
        """Returns the next `size` bytes; `EOFError` if the peer closes before."""
        while len(self._buffer) < size:
            chunk = await self._receive()
            if not chunk:
                raise EOFError(self._buffer)
            self._buffer += chunk
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    async def read_all(self):
        """Returns what comes until the peer closes."""
        while chunk := await self._receive():
            self._buffer += chunk
        rest, self._buffer = self._buffer, b""
        return rest

    def half_close(self):
        """Sends FIN, goes on reading."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        """Leaves with RST, as a process that was killed with unread data does."""
        if self.sock.fileno() >= 0:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        """Leaves with FIN. A read that is under way never ends: cancel it first."""
        self.sock.close()

    async def _receive(self):
        return await asyncio.get_running_loop().sock_recv(self.sock, 65536)


@pytest.fixture
def raw(io_loop):
    """`client = await raw(port)` connects a `RawClient`; all are closed after the test."""
    clients = []

    async def connect(port):
        clients.append(await RawClient.connect(port))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()
