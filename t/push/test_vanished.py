"""The kernel detects clients that vanish without closing their connection."""

import asyncio
import socket
import sys

import pytest
from support.pushing import Pushing, Subscribing
from support.wire import server_sockets, soon

from tatsumaki_py import Application, MessageQueue
from tatsumaki_py.push import hangup
from tatsumaki_py.push.hangup import ask_peer

OPTIONS = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 30_000}


class Waiting(Pushing):
    """A long poll."""

    def get(self):
        MessageQueue.instance("room").poll_once("me", self.finish)


@pytest.fixture
def app(made):
    rules = {"/": Pushing, "/room": Subscribing, "/wait": Waiting}
    return Application([(path, handler, {"made": made}) for path, handler in rules.items()])


def options_of(sock):
    """The keepalive options of `sock`."""
    options = {
        name: sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
        for name in OPTIONS
        if hasattr(socket, name)
    }
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)), options


EXPECTED = (True, {name: value for name, value in OPTIONS.items() if hasattr(socket, name)})


@pytest.mark.parametrize("path", ["/room?id=a", "/wait"])
@pytest.mark.gen_test
async def test_the_kernel_asks(get, http_port, path):
    """The kernel sends keepalive probes to streaming and waiting clients."""
    await get(path)
    with server_sockets(http_port) as (sock,):
        assert options_of(sock) == EXPECTED


@pytest.mark.gen_test
async def test_over_tls(get_tls):
    """The kernel also sends keepalive probes over TLS."""
    _, writer, _ = await get_tls("/room?id=a")
    with server_sockets(writer.get_extra_info("peername")[1]) as (sock,):
        assert options_of(sock) == EXPECTED


def test_not_without_a_network():
    """A Unix socket gets no keepalive options."""
    here, there = socket.socketpair()
    with here, there:
        ask_peer(here)
        assert not here.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has TCP_USER_TIMEOUT")
@pytest.mark.gen_test
async def test_who_takes_nothing_is_given_up(
    monkeypatch, small_buffers, get, raw_small, access_log
):
    """If a client takes no data for too long, its handler is told once that it has left."""
    monkeypatch.setattr(hangup, "USER_TIMEOUT", 0.3)
    _, handler = await get(connect=raw_small)
    handler.stream_write("x" * 150_000)
    await soon(lambda: handler.closed, 5)
    await asyncio.sleep(0.05)
    assert (handler.finished, handler.closed, len(access_log())) == (1, 1, 1)
    assert handler._stream.wire.fileno() == -1


@pytest.mark.gen_test
async def test_finish_of_a_stream_that_has_not_begun(get):
    """If a client leaves before its stream begins, `finish` ends the answer once."""
    client, handler = await get("/?late=1")
    handler.multipart_xhr_push(True)
    handler.request.connection.stream.close()
    handler.finish()
    await soon(lambda: handler.closed)
    assert (handler.finished, handler.closed) == (1, 1)
    client.close()
