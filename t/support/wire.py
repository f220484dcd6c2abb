"""What comes over a bare socket, taken apart; and clients that read little."""

import asyncio
import contextlib
import os
import socket
import stat
import time
from dataclasses import dataclass

import pytest
from support.raw import RawClient


@dataclass
class Reply:
    """One HTTP answer. `headers` has lower-case names; a name that came twice is joined by ", "."""

    line: str
    headers: dict
    body: bytes = b""

    @property
    def status(self):
        """The status code as an int."""
        return int(self.line.split(" ")[1])


async def read_head(client):
    """The head of an answer as a `Reply` without body."""
    head = (await client.read_until(b"\r\n\r\n")).decode("latin-1")
    line, *fields = head[:-4].split("\r\n")
    headers = {}
    for field in fields:
        name, value = field.split(": ", 1)
        name = name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Reply(line, headers)


async def read_reply(client, method="GET"):
    """A whole answer; one without a length must say that the connection is closed."""
    reply = await read_head(client)
    if method == "HEAD" or reply.status in (204, 304):
        pass
    elif reply.headers.get("transfer-encoding") == "chunked":
        while chunk := await read_chunk(client):
            reply.body += chunk
    elif "content-length" in reply.headers:
        reply.body = await client.read_exactly(int(reply.headers["content-length"]))
    else:
        reply.body = await client.read_all()
    return reply


async def read_chunk(client):
    """One chunk (RFC 9112 7.1); the last one is b""."""
    size = int((await client.read_until(b"\r\n"))[:-2], 16)
    data = await client.read_exactly(size + 2)
    assert data.endswith(b"\r\n")
    return data[:-2]


async def soon(condition, seconds=5.0):
    """Waits until `condition()` is true, some seconds at most, and returns what it gave."""
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, "this did not come true in time"
        await asyncio.sleep(0.005)
    return result


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
def raw_small(io_loop):
    """As `raw`, with a receive buffer of some kilobytes: who does not read is slow soon."""
    clients = []

    async def connect(port):
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        # The segments of the loopback are larger than that, and would wait for the window to open.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000)
        client = RawClient(sock)
        clients.append(client)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        return client

    yield connect
    for client in clients:
        client.close()


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
