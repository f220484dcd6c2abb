"""The requests in flight of a server, which it must finish before it stops.

Rules:
1. A request is in flight from the first byte of its head until the kernel has the last byte of its
   answer, even if the handler writes it in parts (`Handler.stream_write`).
2. A request that only waits for events is not in flight: the server answers it immediately or ends
   its stream, and the client reconnects.

Uses undocumented names of Tornado: `_execute`, `_finished`, `_headers_written`
(``t/handler/test_tornado_contract.py``).
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Collection, Iterable
from typing import Any, Protocol

import tornado.web
from tornado.websocket import WebSocketHandler

from tatsumaki_py.error import ServerStopping
from tatsumaki_py.message_queue.mailbox import waiting_tasks
from tatsumaki_py.push.peer_base import PeerBase
from tatsumaki_py.push.peer_handler import PeerHandler
from tatsumaki_py.push.stream import Stream
from tatsumaki_py.server.http_server import ServerConnection

__all__ = ["Answer", "InFlight", "Request", "tornado_websockets", "waiting_handlers"]

_log = logging.getLogger("tatsumaki")


class InFlight(Protocol):
    """A request that may be in flight."""

    def busy(self, waiting: Collection[object] = ()) -> bool:
        """Whether the request is in flight. `waiting` are handlers that wait for events; see
        `waiting_handlers`.
        """

    def cut(self) -> None:
        """End the request now. Its line in the access log has the status 503."""

    def finish(self) -> None:
        """A few iterations after `cut`, finish and log the request if no other code has."""


def _running(tasks: Iterable[asyncio.Task[Any]]) -> list[Any]:
    """The handlers whose methods run in `tasks`."""
    execute = tornado.web.RequestHandler._execute.__code__
    coroutines: list[Any] = [task.get_coro() for task in tasks]
    requests = [one for one in coroutines if getattr(one, "cr_code", None) is execute]
    return [inspect.getcoroutinelocals(one)["self"] for one in requests]


def waiting_handlers() -> list[object]:
    """The plain Tornado handlers whose method itself awaits ``mq.poll_once()``."""
    return _running(waiting_tasks)


def tornado_websockets() -> list[WebSocketHandler]:
    """The open plain Tornado WebSockets. The task of a request lasts as long as its WebSocket."""
    handlers = [one for one in _running(asyncio.all_tasks()) if not isinstance(one, PeerBase)]
    sockets = [one for one in handlers if isinstance(one, WebSocketHandler)]
    return [one for one in sockets if one.ws_connection is not None]


class Request:
    """The request on a connection."""

    __slots__ = ("_connection", "_handler")

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        self._handler: tornado.web.RequestHandler | None = None

    def busy(self, waiting: Collection[object] = ()) -> bool:
        """See `InFlight.busy`."""
        connection = self._connection
        if connection.closed() or connection.idle:
            return False
        handler = connection.handler
        return not (handler._waits() if isinstance(handler, PeerHandler) else handler in waiting)

    def cut(self) -> None:
        """See `InFlight.cut`. A client that has received no byte of the answer gets a 503."""
        handler = self._connection.handler
        if not isinstance(handler, tornado.web.RequestHandler):
            # Its request is incomplete, or its answer is already in the log.
            self._connection.close()
        elif handler._headers_written:
            handler.set_status(503)
            self._handler = handler
            self._connection.close()
        else:
            try:
                handler.send_error(503, exc_info=(ServerStopping, ServerStopping(), None))
            except Exception:
                _log.exception("a request that was cut could not be answered")
                self._connection.close()

    def finish(self) -> None:
        """See `InFlight.finish`."""
        handler, self._handler = self._handler, None
        if handler is None or handler._finished:
            return
        try:
            handler.finish()
        except Exception:
            _log.exception("a request that was cut could not be finished")


class Answer:
    """An answer that its handler writes in parts."""

    __slots__ = ("_stream",)

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def busy(self, waiting: Collection[object] = ()) -> bool:
        """See `InFlight.busy`."""
        return self._stream.answers()

    def cut(self) -> None:
        """See `InFlight.cut`."""
        self._stream.cut()

    def finish(self) -> None:
        """Does nothing: the handler finishes it."""
