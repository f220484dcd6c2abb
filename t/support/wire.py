"""What tests look at beside an answer: the sockets of the server, and turns of the loop.

Tests import the readers of answers from here, too.
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
    """Lets the loop run a few times, without any time passing that could be meant."""
    for _ in range(count):
        await asyncio.sleep(0)


@contextlib.contextmanager
def server_sockets(port):
    """The connections of the server at `port` that this process holds, as sockets to look at."""
    with contextlib.ExitStack() as found:
        sockets = []
        for fd in map(int, os.listdir("/proc/self/fd")):
            # The list names the directory itself, too, which is closed by now.
            with contextlib.suppress(OSError):
                if stat.S_ISSOCK(os.fstat(fd).st_mode):
                    sock = found.enter_context(socket.socket(fileno=os.dup(fd)))
                    listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                    name = sock.getsockname()
                    if sock.family == socket.AF_INET and name[1] == port and not listens:
                        sockets.append(sock)
        yield sockets


def open_sockets(port):
    """How many connections of the server at `port` this process holds."""
    with server_sockets(port) as sockets:
        return len(sockets)


@pytest.fixture
def small_buffers(_unused_port):
    """The server's connections have the smallest send buffer that the kernel gives."""
    _unused_port[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)


@pytest.fixture
def sends(monkeypatch, http_port):
    """The sizes of all successful `send`s on the server's sockets, by the client's port."""
    sent = {}

    def send(sock, data, *flags):
        size = plain(sock, data, *flags)
        if sock.family == socket.AF_INET and sock.getsockname()[1] == http_port:
            sent.setdefault(sock.getpeername()[1], []).append(size)
        return size

    plain = socket.socket.send
    monkeypatch.setattr(socket.socket, "send", send, raising=False)
    return sent
