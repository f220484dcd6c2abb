"""A bare TCP connection, for tests about bytes and about ways to disconnect."""

from __future__ import annotations

import asyncio
import socket
import struct

__all__ = ["Connection"]

SEGMENT = 1000


class Connection:
    """A non-blocking TCP connection.

    Nothing is read ahead, so a connection that the test does not read is a slow reader. With a
    small receive buffer, the server soon notices this.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        """The socket."""
        self._buffer = b""

    @classmethod
    async def connect(
        cls, port: int, host: str = "127.0.0.1", *, receive_buffer: int | None = None
    ) -> Connection:
        """Connect.

        Args:
            port: the port.
            host: a name or an address.
            receive_buffer: bytes that the kernel buffers for a client that does not read, at least
                a few thousand; None for the kernel's default, which may be megabytes.
        """
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            sock.setblocking(False)
            if receive_buffer is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
                # On the loopback, segments are larger than such a buffer, and would be held back.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
            await asyncio.get_running_loop().sock_connect(sock, (host, port))
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    async def send(self, data: bytes) -> None:
        """Send all of `data`."""
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def read_until(self, mark: bytes) -> bytes:
        """The bytes up to and including `mark`. Raises `EOFError` if the peer closes first."""
        while mark not in self._buffer:
            await self._more()
        head, self._buffer = self._buffer.split(mark, 1)
        return head + mark

    async def read_exactly(self, size: int) -> bytes:
        """The next `size` bytes. Raises `EOFError` if the peer closes first."""
        while len(self._buffer) < size:
            await self._more()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    async def read_some(self) -> bytes:
        """The next available bytes; b"" when the peer has closed."""
        data, self._buffer = self._buffer, b""
        return data or await self._receive()

    def unread(self, data: bytes) -> None:
        """Give `data` back: the next read begins with it."""
        self._buffer = data + self._buffer

    async def read_all(self) -> bytes:
        """The bytes until the peer closes."""
        while chunk := await self._receive():
            self._buffer += chunk
        rest, self._buffer = self._buffer, b""
        return rest

    def half_close(self) -> None:
        """Send FIN, and continue reading."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Disconnect with RST, like a process that is killed with unread data."""
        if self.sock.fileno() >= 0:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """Disconnect with FIN. This does not end a read in another task: cancel it first."""
        self.sock.close()

    async def _more(self) -> None:
        chunk = await self._receive()
        if not chunk:
            raise EOFError(self._buffer)
        self._buffer += chunk

    async def _receive(self) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self.sock, 65536)
