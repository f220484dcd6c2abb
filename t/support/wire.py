"""The sockets of the server, and iterations of the loop, for tests.

Tests also import the readers of answers from here.
"""

import asyncio
import contextlib
import os
import socket
import stat

import pytest
from support.raw import raw_small  # noqa: F401

from tatsumaki_py.testing import until as soon  # noqa: F401
from tatsumaki_py.testing.reply import Reply, read_chunk, read_head, read_reply  # noqa: F401


async def iterations(count=20):
    """Waits for `count` iterations of the loop, which take almost no time."""
    for _ in range(count):
        await asyncio.sleep(0)


@contextlib.contextmanager
def server_sockets(port):
    """Gives duplicates of this process's sockets that are connections of a server at `port`."""
    with contextlib.ExitStack() as found:
        sockets = []
        for fd in map(int, os.listdir("/proc/self/fd")):
            # The list also names the descriptor of the directory, which is closed already.
            with contextlib.suppress(OSError):
                if stat.S_ISSOCK(os.fstat(fd).st_mode):
                    sock = found.enter_context(socket.socket(fileno=os.dup(fd)))
                    listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                    name = sock.getsockname()
                    if sock.family == socket.AF_INET and name[1] == port and not listens:
                        sockets.append(sock)
        yield sockets


def open_sockets(port):
    """The number of connections of a server at `port` that this process has."""
    with server_sockets(port) as sockets:
        return len(sockets)


@pytest.fixture
def small_buffers(_unused_port):
    """Gives the server's connections the smallest send buffer that the kernel allows."""
    _unused_port[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)


@pytest.fixture
def sends(monkeypatch, http_port):
    """The sizes of all successful `send` calls on the server's sockets, by the client's port."""
    sent = {}

    def send(sock, data, *flags):
        size = plain(sock, data, *flags)
        if sock.family == socket.AF_INET and sock.getsockname()[1] == http_port:
            sent.setdefault(sock.getpeername()[1], []).append(size)
        return size

    plain = socket.socket.send
    monkeypatch.setattr(socket.socket, "send", send, raising=False)
    return sent
