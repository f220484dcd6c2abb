"""One connection of a client: the socket for its requests and their answers.

Rules:
1. A client that closes its side of the connection has left, even if it is waiting for an answer.
2. Only a few bytes may wait to be parsed (`Requests.full`). While there are more, the socket is not
   read, and `HangUps` notices a client that leaves.
3. A closed or handed-over connection refers to no request, so no reference cycle remains.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Protocol

from tornado.iostream import IOStream, StreamBufferFullError

from tatsumaki_py.http1.client_address import ClientAddress
from tatsumaki_py.http1.detached import closed_stream, detached
from tatsumaki_py.http1.outgoing import Outgoing, failed
from tatsumaki_py.http1.requests import Requests, RequestServer
from tatsumaki_py.http1.streaming import stream_on
from tatsumaki_py.push.framing import Framing
from tatsumaki_py.push.hangup import HangUps, give_up, hung_up, was_reset
from tatsumaki_py.push.owner import Owner
from tatsumaki_py.push.sockets import Relay
from tatsumaki_py.push.stream import WOULD_BLOCK, Stream

__all__ = ["Connection", "ConnectionServer"]

READ_SIZE = 65536
"""Bytes to read in one call. A TLS record has fewer."""
LINGER = 2.0
"""Seconds that a client has to read its last answer if it still sends."""
LINGER_SIZE = 1024 * 1024
"""Bytes that a client may send in that time."""


class ConnectionServer(RequestServer, Protocol):
    """The server, as a connection sees it."""

    @property
    def done(self) -> asyncio.Future[None]:
        """The result of a write whose bytes the kernel has taken."""

    def on_close(self, server_conn: Any) -> None:
        """The connection was closed, or handed over."""


class _Phase(Enum):
    OPEN = auto()
    LINGER = auto()
    """The last answer is written. Further bytes from the client are dropped."""
    OVER = auto()
    """The connection is closed, or belongs to another object."""


class Connection:
    """Serves requests until it is closed or handed over."""

    __slots__ = (
        "_descriptor",
        "_dropped",
        "_gives_up",
        "_loop",
        "_outgoing",
        "_phase",
        "_reads",
        "_relay",
        "_requests",
        "_server",
        "_timer",
        "address",
        "max_write_buffer_size",
        "reset",
        "sock",
    )

    def __init__(
        self, server: ConnectionServer, sock: socket.socket, address: ClientAddress
    ) -> None:
        self.sock = sock
        self.address = address
        self.reset = False
        """Whether an error ended the connection."""
        self.max_write_buffer_size: int | None = None
        """Bytes that may wait to be sent; None for any number."""
        self._server = server
        self._descriptor = sock.fileno()
        self._loop = loop = asyncio.get_running_loop()
        # Bytes that the kernel has not taken.
        self._outgoing: Outgoing | None = None
        # Whether the loop watches the socket for reading.
        self._reads = True
        # The loop's callback; None if that is `_readable` itself, or after a handover.
        self._relay: Relay | None = Relay(self._readable)
        # Whether the kernel closes the connection if the client takes no bytes.
        self._gives_up = False
        # Bytes that were read after the last answer.
        self._dropped = 0
        # The timer for a head or a body that has begun, or for reading the last answer.
        self._timer: asyncio.TimerHandle | None = None
        # Set until the connection is closed or handed over.
        self._requests: Requests | None = Requests(self, server)
        self._phase = _Phase.OPEN
        loop.add_reader(self._descriptor, self._relay)

    def closed(self) -> bool:
        """Whether the connection is closed, or handed over."""
        return self._phase is _Phase.OVER

    @property
    def lingers(self) -> bool:
        """Whether the last answer has been sent, and the connection only has to be closed."""
        return self._phase is _Phase.LINGER

    @property
    def last(self) -> bool:
        """See `Line.last`."""
        return self._server.conn_params.no_keep_alive

    @property
    def idle(self) -> bool:
        """Whether no byte of a request has arrived."""
        return self._requests is not None and self._requests.idle

    @property
    def handler(self) -> object:
        """The handler whose answer is incomplete. None while the request is being read."""
        return None if self._requests is None else self._requests.handler

    # -- reading

    def _readable(self) -> None:
        try:
            data = self.sock.recv(READ_SIZE)
        except WOULD_BLOCK:
            return
        except OSError:
            self._client_left(True)
            return
        requests = self._requests
        if not data:
            if requests is not None and requests.behind:
                # The rest of its request may have arrived. `read_on` calls this method again.
                self._reads = False
                self._loop.remove_reader(self._descriptor)
            else:
                self._client_left(False)
        elif self._phase is _Phase.OPEN and requests is not None:
            requests.received(data)
            if requests.full and self._reads and not self.closed():
                self._reads = False
                self._loop.remove_reader(self._descriptor)
                if requests.complete:
                    # The rest of a body also arrives if the client has closed the connection.
                    HangUps.current().watch(self._descriptor, self._hang_up)
        else:
            self._dropped += len(data)
            if self._dropped > LINGER_SIZE:
                self.close()

    def read_on(self) -> None:
        """See `ReadLine.read_on`."""
        if not self._reads and not (self._requests and self._requests.full):
            self._reads = True
            # This is the context of a request, which a stream must not keep.
            self._relay = None
            HangUps.current().forget(self._descriptor)
            self._loop.add_reader(self._descriptor, self._readable)

    def limit(self, seconds: float, late: Callable[[], None]) -> None:
        """See `ReadLine.limit`. A timer that already runs continues."""
        if self._timer is None:
            self._timer = self._loop.call_later(seconds, late)

    def no_limit(self) -> None:
        """See `ReadLine.no_limit`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- writing

    def write(self, data: bytes) -> asyncio.Future[None]:
        """See `Line.write`. Raises `StreamBufferFullError` if too many bytes wait."""
        if self._phase is not _Phase.OPEN:
            # The connection is gone, or the server has answered instead of the handler.
            return failed()
        outgoing, limit = self._outgoing, self.max_write_buffer_size
        if limit is not None and len(data) + (outgoing.size if outgoing else 0) > limit:
            raise StreamBufferFullError("Reached maximum write buffer size")
        if outgoing is None:
            try:
                sent = self.sock.send(data)
            except WOULD_BLOCK:
                sent = 0
            except OSError:
                self._client_left(True)
                return failed()
            if sent == len(data):
                return self._server.done
            outgoing = self._outgoing = Outgoing()
            self._loop.add_writer(self._descriptor, self._writable)
        else:
            sent = 0
        return outgoing.add(memoryview(data)[sent:])

    def _writable(self) -> None:
        assert self._outgoing is not None
        try:
            if not self._outgoing.send(self.sock):
                return
        except OSError:
            self._client_left(True)
            return
        self._outgoing = None
        self._loop.remove_writer(self._descriptor)
        if self._phase is _Phase.LINGER:
            self._shut()
        elif self._requests is not None:
            self._requests.sent()

    def waits(self) -> None:
        """See `Line.waits`."""
        if not self._gives_up and self._phase is _Phase.OPEN:
            self._gives_up = True
            give_up(self.sock)

    def unsent(self) -> bool:
        """See `ReadLine.unsent`."""
        return self._outgoing is not None

    def when_sent(self, callback: Callable[[bool], None]) -> bool:
        """See `Line.when_sent`."""
        if self._outgoing is not None:
            self._outgoing.end().add_done_callback(
                lambda future: callback(future.exception() is not None)
            )
            return True
        if self.reset:
            self._loop.call_soon(callback, True)
        return self.reset

    def answered(self, exchange: object) -> None:
        """See `Line.answered`."""
        if self._requests is not None:
            self._requests.answered(exchange)

    # -- the end

    def _client_left(self, lost: bool) -> None:
        """The client has closed the connection, or it is lost."""
        self.reset = self.reset or lost
        self.close()

    def _hang_up(self) -> None:
        self._client_left(was_reset(self._descriptor))

    def hung_up(self) -> bool:
        """See `Line.hung_up`."""
        return self.closed() or hung_up(self._descriptor)

    def was_reset(self) -> bool:
        """See `Line.was_reset`."""
        return self.reset or (not self.closed() and was_reset(self._descriptor))

    def linger(self) -> None:
        """See `ReadLine.linger`. If the client's bytes stayed unread, the kernel would reset the
        connection, and the client could lose the answer.
        """
        if self._phase is not _Phase.OPEN or self._requests is None:
            return
        self._phase = _Phase.LINGER
        self._requests.end(tell=True)
        self.no_limit()
        self.limit(LINGER, self.close)
        self.read_on()
        if self._outgoing is None:
            self._shut()

    def _shut(self) -> None:
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()

    def close(self) -> None:
        """Close the connection now, and notify the code that handles its request."""
        if self.closed():
            return
        outgoing = self._outgoing
        self._loop.remove_reader(self._descriptor)
        self._let_go(tell=True)
        self.sock.close()
        if outgoing is not None:
            outgoing.fail()

    def _let_go(self, *, tell: bool = False) -> None:
        """Give up the socket. With `tell`, the request is unfinished, and the code that handles it
        is notified.
        """
        self._phase, self._relay = _Phase.OVER, None
        if self._requests is not None:
            self._requests.end(tell=tell)
            self._requests = None
        self.no_limit()
        if not self._reads:
            HangUps.current().forget(self._descriptor)
        if self._outgoing is not None:
            self._loop.remove_writer(self._descriptor)
            self._outgoing = None
        self._server.on_close(self)

    def detach(self, exchange: object) -> IOStream:
        """See `Line.detach`. If the connection is already closed, the stream is closed, too."""
        if self._requests is None or self._requests.serves_another(exchange):
            return closed_stream()
        outgoing = self._outgoing
        ahead = self._requests.ahead
        self._loop.remove_reader(self._descriptor)
        self._let_go()
        stream = detached(self.sock, ahead)
        if outgoing is not None:
            outgoing.release()
            stream.write(outgoing.rest())
        return stream

    def take_over(self, framing: Framing, max_buffer: int, owner: Owner) -> Stream:
        """See `Line.take_over`."""
        # Called here, because a stream would need more calls to do the same.
        self.waits()
        outgoing, relay = self._outgoing, self._relay if self._reads else None
        self._let_go()
        # The stream replaces this object as the reader of the socket.
        return stream_on(self.sock, outgoing, framing, max_buffer, owner, relay)
