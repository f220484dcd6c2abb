"""Reads the requests of one connection, one after the other, and passes them to their delegates.

Rules:
1. Bytes after a request wait in `ahead`, unparsed, until its answer is complete.
2. Nothing is read after the last answer, because a further request would take effect without an
   answer (RFC 9112 section 9.6).
3. `headers_received` of a delegate is followed by either `finish` or `on_connection_close`, once.
4. No call takes long, whatever the client has sent: the rest waits for the next iteration of the
   loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import Protocol

from tornado.gen import convert_yielded
from tornado.http1connection import HTTP1ConnectionParameters
from tornado.httputil import HTTPInputError, HTTPMessageDelegate
from tornado.log import app_log, gen_log

from tatsumaki_py.http1.body import Body, body_of
from tatsumaki_py.http1.exchange import Exchange
from tatsumaki_py.http1.head import HeadTooLarge, cut, parse
from tatsumaki_py.http1.idle import Idle
from tatsumaki_py.http1.line import Line
from tatsumaki_py.strict_http import HEAD_TIMEOUT

__all__ = ["ReadLine", "RequestServer", "Requests"]


class RequestServer(Protocol):
    """The server, as this file sees it."""

    conn_params: HTTP1ConnectionParameters
    idle: Idle
    max_body: int
    """Maximum bytes of a body, unless the handler sets another limit."""

    def start_message(self, connection: Line, exchange: Exchange) -> HTTPMessageDelegate:
        """The delegate for a request."""


class ReadLine(Line, Protocol):
    """The connection, as this file sees it."""

    def limit(self, seconds: float, late: Callable[[], None]) -> None:
        """Call `late` unless `no_limit` is called in time."""

    def no_limit(self) -> None:
        """See `limit`."""

    def linger(self) -> None:
        """Close the connection when the client has read the whole answer."""

    def read_on(self) -> None:
        """`Requests.full` or `Requests.behind` may have become False."""


AHEAD = 65536
"""Bytes that may wait after a request, or for a slow delegate."""
DETACH = 2.0
"""Seconds after a finished 101 within which the handler must call `detach`."""


class _State(Enum):
    HEAD = auto()
    ACCEPTED = auto()
    """The delegate has the head."""
    BODY = auto()
    COMPLETE = auto()
    """The body has arrived."""
    ANSWER = auto()
    """The delegate has the whole request, and the answer is incomplete."""
    OVER = auto()


class Requests:
    """The requests of one connection."""

    __slots__ = (
        "_body",
        "_delegate",
        "_exchange",
        "_line",
        "_paused",
        "_server",
        "_state",
        "ahead",
    )

    def __init__(self, line: ReadLine, server: RequestServer) -> None:
        self._line = line
        self._server = server
        self._state = _State.HEAD
        self.ahead = b""
        """Bytes that were read and not parsed yet."""
        self._exchange: Exchange | None = None
        # Set until the request is complete.
        self._delegate: HTTPMessageDelegate | None = None
        self._body: Body | None = None
        # Whether reading must wait for the delegate.
        self._paused = False
        server.idle.add(line)

    @property
    def idle(self) -> bool:
        """Whether no byte of a request has arrived."""
        # An empty line before a request does not count.
        return self._state is _State.HEAD and self.ahead in (b"", b"\r\n")

    @property
    def handler(self) -> object:
        """The handler whose answer is not complete. None while the request is read."""
        exchange = self._exchange
        return None if exchange is None else getattr(exchange.close_callback, "__self__", None)

    @property
    def complete(self) -> bool:
        """Whether the delegate has the whole request."""
        return self._state is _State.ANSWER

    @property
    def behind(self) -> bool:
        """Whether arrived bytes still have to be parsed or passed to the delegate."""
        return self._paused and self._state is not _State.OVER

    @property
    def full(self) -> bool:
        """Whether reading must pause."""
        waiting = len(self.ahead)
        # A longer head is refused.
        return waiting > AHEAD and waiting > self._server.conn_params.max_header_size

    def serves_another(self, exchange: object) -> bool:
        """Whether a request other than `exchange` is in progress."""
        return self._exchange is not None and self._exchange is not exchange

    def received(self, data: bytes) -> None:
        """Process bytes that have arrived."""
        self.ahead = self.ahead + data if self.ahead else data
        self._advance()

    def sent(self) -> None:
        """The kernel has taken all written bytes."""
        if self._exchange is not None and self._exchange.finished:
            self.answered(self._exchange)

    def answered(self, exchange: object) -> None:
        """The handler has written the whole answer."""
        line, mine = self._line, self._exchange
        if mine is None or exchange is not mine or line.unsent():
            # `sent` is called later.
            return
        if mine.code == 101:
            # The next bytes belong to another protocol.
            line.limit(DETACH, line.close)
            return
        if mine.last:
            if mine.read_finished and not self.ahead:
                line.close()
            else:
                line.linger()
            return
        mine.close_callback = None
        self._exchange = None
        self._state = _State.HEAD
        self._server.idle.add(line)
        if self.ahead:
            self._later()
        line.read_on()

    def end(self, *, tell: bool) -> None:
        """The connection accepts no more requests. With `tell`, the code that handles a request is
        notified that the request will not be finished.
        """
        exchange, delegate = self._exchange, self._delegate
        self._state = _State.OVER
        self._server.idle.discard(self._line)
        self._exchange = self._delegate = self._body = None
        self.ahead = b""
        if exchange is None:
            return
        left = exchange.client_left if delegate is None else delegate.on_connection_close
        if delegate is not None or not tell:
            # The callback refers to the handler, which refers to the exchange: a cycle.
            exchange.close_callback = None
        if tell:
            # In the next iteration, because the handler may be running now and may finish first.
            asyncio.get_running_loop().call_soon(_logged, left)

    # -- one request

    def _advance(self, waited: asyncio.Future[None] | None = None) -> None:
        """Process the request as far as its bytes have arrived."""
        try:
            if waited is not None:
                waited.result()
            while not self._paused and self._step():
                pass
        except HeadTooLarge as error:
            # The first two words are the same as in Tornado.
            gen_log.info("Unsatisfiable read: %s from %s", error, self._line.address)
            self._refuse(b"HTTP/1.1 431 Request Header Fields Too Large\r\n\r\n")
        except HTTPInputError as error:
            gen_log.info("Malformed HTTP message from %s: %s", self._line.address, error)
            self._refuse(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        except (Exception, asyncio.CancelledError):
            app_log.error("Uncaught exception", exc_info=True)
            self._line.close()

    def _step(self) -> bool:
        """Returns whether there may be more to do now."""
        state = self._state
        if state is _State.HEAD:
            return self._take_head()
        if state is _State.BODY:
            return self._take_body()
        if state is _State.COMPLETE:
            return self._complete()
        return state is _State.ACCEPTED and self._begin_body()

    def _take_head(self) -> bool:
        params = self._server.conn_params
        found = cut(self.ahead, params.max_header_size)
        if found is None:
            if not self.idle:
                self._server.idle.discard(self._line)
                seconds = params.header_timeout or HEAD_TIMEOUT
                self._line.limit(min(seconds, HEAD_TIMEOUT), self._line.close)
            return False
        self._server.idle.discard(self._line)
        self._line.no_limit()
        data, self.ahead = found
        head = parse(data)
        exchange = Exchange(self._line, head, self._server.max_body, params.body_timeout)
        self._exchange = exchange
        self._state = _State.ACCEPTED
        delegate = self._delegate = self._server.start_message(self._line, exchange)
        self._wait_for(delegate.headers_received(head.start_line, head.headers))
        # Most requests continue immediately. The delegate may have closed the connection.
        return self._paused or self._state is not _State.ACCEPTED or self._begin_body()

    def _begin_body(self) -> bool:
        exchange = self._exchange
        assert exchange is not None
        head = exchange.head
        self._body = body_of(head, exchange.max_body_size)
        if self._body is None:
            return self._complete()
        self._state = _State.BODY
        if exchange.body_timeout is not None:
            self._line.limit(exchange.body_timeout, self._late)
        if head.expects and not exchange.code:
            head.expects = False
            if not self.ahead:
                # If the client has left, this write ends the connection.
                self._line.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _take_body(self) -> bool:
        exchange, body = self._exchange, self._body
        assert exchange is not None
        assert body is not None
        assert self._delegate is not None
        part, size = body.read(self.ahead, self._server.conn_params.chunk_size)
        self.ahead = self.ahead[size:]
        self._line.read_on()
        if body.done:
            self._state = _State.COMPLETE
        if part and not exchange.finished:
            self._wait_for(self._delegate.data_received(part))
        if size and body.slow and not body.done and not self._paused:
            # Let other connections have their turn.
            self._later()
        return size > 0

    def _complete(self) -> bool:
        exchange = self._exchange
        assert exchange is not None
        assert self._delegate is not None
        self._line.no_limit()
        self._state = _State.ANSWER
        self._body = None
        exchange.read_finished = True
        delegate, self._delegate = self._delegate, None
        if exchange.finished:
            # The handler answered before the end of the request.
            _logged(delegate.on_connection_close)
            return False
        try:
            delegate.finish()
        except Exception:
            _logged(delegate.on_connection_close)
            raise
        return False

    def _wait_for(self, result: Awaitable[None] | None) -> None:
        """Wait until `result`, which the delegate has returned, is done."""
        if result is None:
            return
        future = convert_yielded(result)
        if future.done():
            future.result()
        else:
            self._paused = True
            future.add_done_callback(self._resume)

    def _resume(self, future: asyncio.Future[None]) -> None:
        if self._state is not _State.OVER:
            self._go_on(future)
        elif not future.cancelled() and (error := future.exception()) is not None:
            # The connection and the request have ended.
            app_log.error("Uncaught exception", exc_info=error)

    def _later(self) -> None:
        """Continue in the next iteration of the loop."""
        self._paused = True
        asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self, waited: asyncio.Future[None] | None = None) -> None:
        self._paused = False
        self._advance(waited)
        if self._state is not _State.OVER:
            # `behind` may now be False.
            self._line.read_on()

    def _late(self) -> None:
        gen_log.info("Timeout reading body from %s", self._line.address)
        self._line.close()

    def _refuse(self, answer: bytes) -> None:
        """Answer instead of a handler, and close the connection."""
        if self._exchange is None or not self._exchange.code:
            self._line.write(answer)
        self._line.linger()


def _logged(callback: Callable[[], None]) -> None:
    try:
        callback()
    except Exception:
        app_log.error("Uncaught exception", exc_info=True)
