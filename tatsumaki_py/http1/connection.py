"""One connection of a client: its requests are read, and answered, one after the other.

Rules:
1. One request at a time. What a client sends behind it waits unparsed, `AHEAD` bytes of it at most;
   then nothing more is read, and `HangUps` notices a client that leaves.
2. A client that closes its side of the connection has left, whether an answer is due or not.
3. After the last answer nothing is read: a request behind it would have an effect, and no answer
   (RFC 9112 section 9.6).
4. `headers_received` of a delegate is followed by either `finish` or `on_connection_close`.
5. A connection that is closed or handed over refers to no request: no cycle survives it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import Any, Protocol

from tornado.gen import convert_yielded
from tornado.http1connection import HTTP1ConnectionParameters
from tornado.httputil import HTTPInputError, HTTPMessageDelegate
from tornado.iostream import IOStream
from tornado.log import app_log, gen_log

from tatsumaki_py.http1.chunks import Chunks
from tatsumaki_py.http1.client_address import ClientAddress
from tatsumaki_py.http1.detached import detached
from tatsumaki_py.http1.exchange import Exchange
from tatsumaki_py.http1.head import parse
from tatsumaki_py.http1.idle import Idle
from tatsumaki_py.http1.outgoing import Outgoing, failed
from tatsumaki_py.push.framing import Framing
from tatsumaki_py.push.hangup import HangUps, hung_up, was_reset
from tatsumaki_py.push.owner import Owner
from tatsumaki_py.push.pile import Pile
from tatsumaki_py.push.sockets import SocketStream
from tatsumaki_py.push.stream import WOULD_BLOCK, Stream
from tatsumaki_py.strict_http import HEAD_TIMEOUT

__all__ = ["Connection", "ConnectionServer"]

READ_SIZE = 65536
"""Bytes that are read at once. A TLS record has fewer."""
AHEAD = 65536
"""Bytes that may wait behind a request."""
LINGER = 2.0
"""Seconds that a client gets to take its last answer while it still sends."""


class ConnectionServer(Protocol):
    """The server, as a connection sees it."""

    conn_params: HTTP1ConnectionParameters
    idle: Idle
    max_body: int
    """Bytes of a body, unless the handler says otherwise."""

    @property
    def done(self) -> asyncio.Future[None]:
        """The result of a write that the kernel has taken."""

    def start_message(self, connection: Connection, exchange: Exchange) -> HTTPMessageDelegate:
        """The delegate for a request."""

    def on_close(self, server_conn: Any) -> None:
        """The connection was closed, or handed over."""


class _State(Enum):
    HANDSHAKE = auto()
    HEAD = auto()
    ACCEPTED = auto()
    """The head was given to the delegate."""
    BODY = auto()
    COMPLETE = auto()
    """The body has arrived."""
    ANSWER = auto()
    """The request is complete, its answer is not."""
    LINGER = auto()
    """The last answer is written. What the client sends is dropped."""
    OVER = auto()
    """The connection is closed, or belongs to another object."""


class Connection:
    """Reads requests and writes answers, until it is closed or handed over."""

    __slots__ = (
        "_ahead",
        "_chunks",
        "_delegate",
        "_descriptor",
        "_exchange",
        "_left",
        "_loop",
        "_outgoing",
        "_paused",
        "_reads",
        "_server",
        "_state",
        "_timer",
        "address",
        "reset",
        "sock",
    )

    def __init__(
        self, server: ConnectionServer, sock: socket.socket, address: ClientAddress
    ) -> None:
        self.sock = sock
        self.address = address
        self.reset = False
        """Whether it ended by an error."""
        self._descriptor = sock.fileno()
        self._server = server
        self._loop = loop = asyncio.get_running_loop()
        # What was read and is not parsed.
        self._ahead = b""
        self._exchange: Exchange | None = None
        # Until the request is complete.
        self._delegate: HTTPMessageDelegate | None = None
        self._chunks: Chunks | None = None
        # Bytes of the body that have not arrived.
        self._left = 0
        # What the kernel has not taken.
        self._outgoing: Outgoing | None = None
        # Whether the delegate has to be waited for.
        self._paused = False
        self._reads = True
        # For a handshake, a head or a body that has begun.
        self._timer: asyncio.TimerHandle | None = None
        if isinstance(sock, ssl.SSLSocket):
            self._state = _State.HANDSHAKE
            self._limit(HEAD_TIMEOUT)
        else:
            self._state = _State.HEAD
            server.idle.add(self)
        loop.add_reader(self._descriptor, self._readable)

    def closed(self) -> bool:
        """Whether it is closed, or handed over."""
        return self._state is _State.OVER

    @property
    def last(self) -> bool:
        """Whether the server takes no more requests on it."""
        return self._server.conn_params.no_keep_alive

    @property
    def idle(self) -> bool:
        """Whether no byte of a request has arrived."""
        return self._state is _State.HEAD and not self._ahead

    @property
    def handler(self) -> object:
        """The handler whose answer is not complete. None while the request is read."""
        if self._exchange is None:
            return None
        return getattr(self._exchange.close_callback, "__self__", None)

    # -- reading

    def _readable(self) -> None:
        if self._state is _State.HANDSHAKE:
            self._shake_hands()
            return
        try:
            data = self.sock.recv(READ_SIZE)
        except WOULD_BLOCK:
            return
        except OSError as error:
            # Python reports the end of a TLS connection without a close_notify in this way.
            self._left_by_client(not isinstance(error, ssl.SSLError))
            return
        if not data:
            self._left_by_client(False)
            return
        if self._state is not _State.LINGER:
            self._ahead = self._ahead + data if self._ahead else data
            self._advance()

    def _shake_hands(self) -> None:
        assert isinstance(self.sock, ssl.SSLSocket)
        try:
            self.sock.do_handshake()
        except ssl.SSLWantReadError:
            self._loop.remove_writer(self._descriptor)
        except ssl.SSLWantWriteError:
            self._loop.add_writer(self._descriptor, self._shake_hands)
        except OSError:
            # `strict_http` has logged it.
            self.close()
        else:
            self._loop.remove_writer(self._descriptor)
            self._no_limit()
            self._state = _State.HEAD
            self._server.idle.add(self)
            # It may have come together with the end of the handshake.
            self._readable()

    def _advance(self, waited: asyncio.Future[None] | None = None) -> None:
        """Go on with the request, as far as its bytes have arrived."""
        try:
            if waited is not None:
                waited.result()
            while not self._paused and self._step():
                pass
        except HTTPInputError as error:
            self._refuse(error)
        except Exception:
            app_log.error("Uncaught exception", exc_info=True)
            self.close()
        if len(self._ahead) > AHEAD and self._reads and not self.closed():
            self._reads = False
            self._loop.remove_reader(self._descriptor)
            HangUps.current().watch(self._descriptor, self._hang_up)

    def _step(self) -> bool:
        """Returns whether there may be more to do now."""
        match self._state:
            case _State.HEAD:
                return self._read_head()
            case _State.ACCEPTED:
                return self._begin_body()
            case _State.BODY:
                return self._read_body()
            case _State.COMPLETE:
                return self._end_request()
        return False

    def _read_head(self) -> bool:
        data = self._ahead
        if data[:2] == b"\r\n":
            # RFC 9112 section 2.2: an empty line before a request is skipped.
            data = self._ahead = data.lstrip(b"\r\n")
        end = data.find(b"\r\n\r\n") + 4
        longest = self._server.conn_params.max_header_size
        if (end if end > 3 else len(data)) > longest:
            gen_log.info("a head of more than %d bytes from %s", longest, self.address)
            self._end_with(b"HTTP/1.1 431 Request Header Fields Too Large\r\n\r\n")
            return False
        if end == 3:
            self._await_head(data)
            return False
        self._server.idle.discard(self)
        self._no_limit()
        self._ahead = data[end:]
        params = self._server.conn_params
        head = parse(data[:end])
        exchange = self._exchange = Exchange(self, head, self._server.max_body, params.body_timeout)
        self._state = _State.ACCEPTED
        self._delegate = self._server.start_message(self, exchange)
        self._wait_for(self._delegate.headers_received(head.start_line, head.headers))
        return True

    def _await_head(self, data: bytes) -> None:
        """The head is not complete."""
        if not data:
            return
        if data.count(b"\n") != data.count(b"\r\n"):
            raise HTTPInputError("bare LF in the head of a request")
        if self._timer is None:
            self._server.idle.discard(self)
            self._limit(HEAD_TIMEOUT)

    def _begin_body(self) -> bool:
        exchange = self._exchange
        assert exchange is not None
        head = exchange.head
        if head.length > exchange.max_body_size:
            raise HTTPInputError("Content-Length too long")
        if not (head.length or head.chunked):
            return self._end_request()
        if head.expects and not exchange.finished and not self._ahead:
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._state = _State.BODY
        # Of chunks: bytes that they may have.
        self._left = exchange.max_body_size if head.chunked else head.length
        self._chunks = Chunks() if head.chunked else None
        if exchange.body_timeout is not None:
            self._limit(exchange.body_timeout, self._body_late)
        return True

    def _read_body(self) -> bool:
        data, limit = self._ahead, self._server.conn_params.chunk_size
        exchange = self._exchange
        assert exchange is not None
        assert self._delegate is not None
        if self._chunks is None:
            part = data[: min(self._left, limit)]
            size = len(part)
            done = size == self._left
        else:
            part, size = self._chunks.read(data, limit)
            done = self._chunks.done
        self._left -= len(part)
        if self._left < 0:
            raise HTTPInputError("chunked body too large")
        self._ahead = data[size:]
        if done:
            self._state = _State.COMPLETE
        if part and not exchange.finished:
            self._wait_for(self._delegate.data_received(part))
        if self._chunks is not None and size and not done:
            # A chunk may be one byte: others get their turn.
            self._loop.call_soon(self._advance)
            return False
        return bool(size)

    def _end_request(self) -> bool:
        exchange = self._exchange
        assert exchange is not None
        assert self._delegate is not None
        self._no_limit()
        self._chunks = None
        self._state = _State.ANSWER
        exchange.read_finished = True
        if not exchange.finished:
            self._delegate.finish()
        self._delegate = None
        return False

    def _wait_for(self, result: Awaitable[None] | None) -> None:
        """Do not go on before `result`, which a delegate has returned, is done."""
        if result is None:
            return
        future = convert_yielded(result)
        if future.done():
            future.result()
        else:
            self._paused = True
            future.add_done_callback(self._resume)

    def _resume(self, future: asyncio.Future[None]) -> None:
        self._paused = False
        if not self.closed():
            self._advance(future)
        elif not future.cancelled():
            # The connection has ended, and so has the request.
            future.exception()

    def _refuse(self, error: HTTPInputError) -> None:
        gen_log.info("Malformed HTTP message from %s: %s", self.address, error)
        begun = self._exchange is not None and self._exchange.code
        self._end_with(b"" if begun else b"HTTP/1.1 400 Bad Request\r\n\r\n")

    def _end_with(self, answer: bytes) -> None:
        """Close after `answer`, which no handler has written."""
        self.write(answer)
        self._tell()
        self._linger()

    # -- writing

    def write(self, data: bytes) -> asyncio.Future[None]:
        """See `Line.write`."""
        if self._state is _State.OVER:
            return failed()
        outgoing = self._outgoing
        if outgoing is None:
            try:
                sent = self.sock.send(data)
            except WOULD_BLOCK:
                sent = 0
            except OSError:
                self.reset = True
                self.close()
                return failed()
            if sent == len(data):
                return self._server.done
            outgoing = self._outgoing = Outgoing()
            self._loop.add_writer(self._descriptor, self._writable)
            return outgoing.add(memoryview(data)[sent:])
        return outgoing.add(memoryview(data))

    def _writable(self) -> None:
        assert self._outgoing is not None
        try:
            if not self._outgoing.send(self.sock):
                return
        except OSError:
            self._left_by_client(True)
            return
        self._outgoing = None
        self._loop.remove_writer(self._descriptor)
        if self._state is _State.LINGER:
            self._shut()
        elif self._exchange is not None and self._exchange.finished:
            self.answered(self._exchange)

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

    def answered(self, exchange: Exchange) -> None:
        """See `Line.answered`."""
        if exchange is not self._exchange or self._outgoing is not None or exchange.code == 101:
            # A handler that switches protocols goes on with `detach`.
            return
        exchange.close_callback = None
        if exchange.last:
            if exchange.read_finished and not self._ahead:
                self.close()
            else:
                self._linger()
            return
        self._exchange = None
        self._state = _State.HEAD
        if self._ahead:
            self._loop.call_soon(self._advance)
        else:
            self._server.idle.add(self)
        if not self._reads:
            self._reads = True
            HangUps.current().forget(self._descriptor)
            self._loop.add_reader(self._descriptor, self._readable)

    # -- the end

    def _left_by_client(self, lost: bool) -> None:
        """The client has closed the connection, or it is lost."""
        self.reset = self.reset or lost
        self.close()

    def _hang_up(self) -> None:
        self._left_by_client(was_reset(self._descriptor))

    def hung_up(self) -> bool:
        """See `Line.hung_up`."""
        return self.closed() or hung_up(self._descriptor)

    def was_reset(self) -> bool:
        """See `Line.was_reset`."""
        return self.reset or (not self.closed() and was_reset(self._descriptor))

    def _limit(self, seconds: float, late: Callable[[], None] | None = None) -> None:
        """Close the connection, or call `late`, unless `_no_limit` is called in time."""
        self._no_limit()
        self._timer = self._loop.call_later(seconds, late or self.close)

    def _no_limit(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _body_late(self) -> None:
        gen_log.info("Timeout reading body from %s", self.address)
        self.close()

    def _linger(self) -> None:
        """Close when the client has the answer: if unread bytes were left, the kernel would reset
        the connection, and the client could lose the answer.
        """
        if self.closed():
            return
        self._state = _State.LINGER
        self._server.idle.discard(self)
        self._ahead = b""
        self._limit(LINGER)
        if self._outgoing is None:
            self._shut()

    def _shut(self) -> None:
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()

    def close(self) -> None:
        """Close it now, and tell the code that is busy with its request."""
        if self._state is _State.OVER:
            return
        outgoing = self._outgoing
        self._tell()
        self._loop.remove_reader(self._descriptor)
        self._let_go()
        self.sock.close()
        if outgoing is not None:
            outgoing.fail()

    def _tell(self) -> None:
        """The request that is read, or answered, will not be finished."""
        delegate, self._delegate = self._delegate, None
        exchange = self._exchange
        callback: Callable[[], None] | None = None
        if delegate is not None:
            callback = delegate.on_connection_close
        elif exchange is not None and not exchange.finished:
            callback = exchange.close_callback
        if exchange is not None:
            exchange.close_callback = None
        if callback is not None:
            self._loop.call_soon(_logged, callback)

    def _let_go(self) -> None:
        """Have no more to do with the socket."""
        self._state = _State.OVER
        self._no_limit()
        self._server.idle.discard(self)
        HangUps.current().forget(self._descriptor)
        if self._outgoing is not None:
            self._loop.remove_writer(self._descriptor)
        self._outgoing = self._exchange = self._delegate = self._chunks = None
        self._ahead = b""
        self._server.on_close(self)

    def detach(self) -> IOStream:
        """See `Line.detach`. That of a connection that is closed already is closed, too."""
        if self.closed():
            stream = IOStream(socket.socket())
            stream.close()
            return stream
        outgoing, ahead = self._outgoing, self._ahead
        self._loop.remove_reader(self._descriptor)
        self._let_go()
        stream = detached(self.sock, ahead)
        if outgoing is not None:
            stream.write(outgoing.rest())
        return stream

    def take_over(self, framing: Framing, max_buffer: int, owner: Owner) -> Stream:
        """See `Line.take_over`."""
        outgoing = self._outgoing
        self._let_go()
        # It replaces the reader of this object.
        stream = SocketStream(self.sock, framing, max_buffer, owner)
        if outgoing is not None:
            stream.keep(outgoing.rest(), 0, Pile())
        return stream


def _logged(callback: Callable[[], None]) -> None:
    try:
        callback()
    except Exception:
        app_log.error("Uncaught exception", exc_info=True)
