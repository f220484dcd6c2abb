"""SubscribeHandler: a URL for subscribing, over any transport.

>>> from tatsumaki_py import Application, SubscribeHandler
>>> app = Application([(r"/events/([\\w.-]+)", SubscribeHandler)])

Rules:
1. Before a request is admitted, nothing is sent, and its client is not a subscriber.
2. A request whose group is disconnected before it is admitted is refused.

Uses names that Tornado does not document: `_execute`, `_finished`
(``t/handler/test_tornado_contract.py``).
"""

from __future__ import annotations

import time
from collections.abc import Awaitable
from functools import partial
from typing import Any, ClassVar

import tornado.web
from tornado.httputil import HTTPServerRequest

from tatsumaki_py.at_once import in_task, runs_at_once
from tatsumaki_py.counters import traffic
from tatsumaki_py.endpoint.attendance import Attendance
from tatsumaki_py.endpoint.channels import LEAST, ChannelHandler, check_limit
from tatsumaki_py.endpoint.departed import class_name, served
from tatsumaki_py.endpoint.groups import GROUPS, disconnect, obey
from tatsumaki_py.endpoint.negotiation import negotiate, waiting_time
from tatsumaki_py.endpoint.per_address import count_connection
from tatsumaki_py.endpoint.recheck import RECHECKS, Recheck
from tatsumaki_py.endpoint.shared_answers import send_shared
from tatsumaki_py.endpoint.websocket import SubscribeSocket
from tatsumaki_py.error import HTTPError
from tatsumaki_py.group import group_key
from tatsumaki_py.message_queue import MessageQueue
from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.message_queue.peer import takes_entries
from tatsumaki_py.push.framing import Option
from tatsumaki_py.push.peer_base import shows_events
from tatsumaki_py.push.transports import Handshake, Poll, Streaming

__all__ = ["SubscribeHandler"]


class SubscribeHandler(ChannelHandler):
    """Pushes the events of channels to a client, over the transport that the client asks for.

    A WebSocket handshake asks for a WebSocket. Any other request names the transport in the
    parameter ``transport`` (``sse``, ``ndjson``, ``multipart``, ``long-poll``, ``interval-poll``)
    or, without it, in the header ``Accept`` (``text/event-stream``, ``application/x-ndjson``,
    ``multipart/mixed``; ``application/json``, ``*/*`` or no header mean a long poll).

    A client resumes from its cursor: the header ``Last-Event-ID`` or, without it, the parameter
    ``last_event_id``. Other parameters: ``client_id`` (see `client_id`), ``timeout`` (seconds that
    a long poll waits, up to `poll_timeout`), ``event_type=1`` (see `Handler.server_sent_events`),
    ``heartbeat=1`` (heartbeats of SSE and WebSocket become messages, which a page can see).

    A request for a channel that has ended (`MessageQueue.end`) is answered with 204 if the client
    has all of its events, or is new and there are none. A WebSocket is closed with 1000 and the
    reason ``end``.

    Errors: 400 for bad parameters, 403 for a client that may not subscribe (`can_subscribe`), 406
    if no transport is acceptable, 426 for ``transport=websocket`` without a handshake, 429 for too
    many connections (`max_per_address`), 503 for too many clients or if the engine is unavailable.
    """

    asynchronous = True
    max_stream_time: float | None = 3600.0
    """See `Handler.max_stream_time`. The default, an hour, is long enough that reconnecting costs
    next to nothing, and short enough that a new server soon gets its share of the clients.
    """
    poll_timeout: float = 25.0
    """Seconds that a long poll waits, less a jitter of up to a tenth."""
    max_per_address: ClassVar[int | None] = None
    """The most streams, WebSockets and waiting polls that one address (`Request.address`) may have
    at a time; None for no limit. 429 for more. Each process has one count for all classes that have
    a limit. All IPv6 addresses of a /64 network count as one. Behind a proxy, use
    ``Server(xheaders=True)``, so that the server knows the addresses of the clients.
    """
    recheck_time: ClassVar[float | None] = None
    """Seconds after which `can_subscribe` is called again for an open stream or a waiting poll,
    less a jitter of up to a half for the first check and up to a tenth for the others; None for
    never. A refusal ends the stream or poll as `disconnect` does, but with its own status. A check
    that raises any other exception or takes 30 seconds is logged and ends the stream or poll, so
    that the client must reconnect.
    """
    plain_messages = False
    """See `WebSocketHandler.plain_messages`."""
    text = False
    """Whether a string event is sent as that string, not as JSON, for pages that want HTML. In SSE,
    the string is the data. On a WebSocket, it is the message, and `plain_messages` is implied. In
    SSE, an object ``{"type": "news", "text": "..."}`` of two strings is sent as its text, in an
    event of that type. Other events stay JSON, as do all events in NDJSON, multipart and polls.
    """
    close_code: int | None = None
    """The code with which a client closed its WebSocket, for ``on_close``; see
    `tornado.websocket.WebSocketHandler.on_close`.
    """
    close_reason: str | None = None
    """The reason that the client gave, for ``on_close``."""

    def __init__(
        self, application: tornado.web.Application, request: HTTPServerRequest, **kwargs: Any
    ) -> None:
        super().__init__(application, request, **kwargs)
        if type(self).on_unsubscribe is not SubscribeHandler.on_unsubscribe:
            served(type(self), application, kwargs, "on_unsubscribe")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_limit(cls, "max_per_address", 1)
        check_limit(cls, "recheck_time", LEAST)

    def can_subscribe(self, channel: str) -> bool | Awaitable[bool]:
        """Whether the client may receive the events of `channel`. Override this, with ``def`` or
        ``async def``.

        False is answered with 403. Raise `Error.HTTP` for another answer, such as 401 or 404. An
        ``EventSource`` does not reconnect after any of these.
        """
        return True

    def group(self) -> str | bytes | int | None:
        """The user that the client belongs to, such as a user id, for `disconnect`. Override this:
        with None, the default, `disconnect` cannot find the client. You may return `current_user`
        if it is a str, bytes or an int. Called once for each request, before `can_subscribe`.
        """
        return None

    @classmethod
    def disconnect(cls, group: str | bytes | int) -> int:
        """End the streams, WebSockets and waiting polls of a user immediately, for example when the
        user logs out.

        A long poll is answered with 403, a WebSocket is closed with the code 4403, and other
        streams end. The queue treats the clients as gone. Revoke the permission before this call,
        because clients will reconnect, and only `can_subscribe` can then refuse them. A request
        that waits for `can_subscribe` is also answered with 403. The first 100 connections end
        before this returns. The others end soon after, in turns that let the loop do other work.

        This affects the handlers of this class and of its subclasses. A str and its bytes in UTF-8
        are the same group, as are an int and its text. If several processes share the engine, the
        others do the same soon after this returns, or as soon as they can be reached. They find the
        class by its name and the name of its module.

        Returns:
            The number of requests that are ended in this process.

        Raises:
            TypeError, ValueError: `group` is not a valid group.
            RuntimeError: called outside the thread of the event loop.
        """
        MessageQueue._registry.thread.check("disconnect", cls.__name__)
        key = group_key(group, "the group")
        if key is None:
            raise TypeError("disconnect(None): clients without a group cannot be told apart")
        now = time.time()
        MessageQueue._registry.processes.tell("expel", kind=class_name(cls), group=key, time=now)
        return disconnect(cls, key, now)

    def on_subscribe(self, channel: str) -> Awaitable[None] | None:
        """Called when a subscriber arrives. Override this, with ``def`` or ``async def``.

        Called once for each subscriber, however often it polls, or reconnects within
        `MessageQueue.reconnect_time`. Without a `client_id`, each long poll is a separate
        subscriber, and interval polls do not count. The hooks of one `client_id` and channel are
        called in order, and each waits until the previous one is done. An exception is logged, and
        has no other effect.
        """
        return None

    def on_unsubscribe(self, channel: str) -> Awaitable[None] | None:
        """Called when a subscriber has left. Override this, with ``def`` or ``async def``.

        Called on the handler of the subscriber's last request, immediately when the subscriber
        leaves. If a client with a `client_id` got the answer to its long poll, or if the server
        ended its stream, the client first has `MessageQueue.reconnect_time` to come back. See
        `on_subscribe`.

        If several processes share the engine, only one of them calls each hook. For a client whose
        process has ended, another process calls this, on a handler of a request that has only the
        parameter ``client_id``.
        """
        return None

    def client_id(self) -> str | None:
        """The name of the client: by default the parameter ``client_id``, None if anonymous.

        A named client that sends no cursor resumes where it left off. A second connection with the
        same name ends the first, so use names that other clients cannot guess.
        """
        return self.request.param("client_id") or None

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        """Choose one of the subprotocols that a client offers: by default the first, because a
        browser closes the connection if none is chosen. Many clients send a token as a subprotocol
        (``new WebSocket(url, ["access_token", token])``); `can_subscribe` finds it in the header
        ``Sec-WebSocket-Protocol``.

        You may also define the other hooks of `tornado.websocket.WebSocketHandler`:
        ``check_origin``, ``get_compression_options``, ``open`` (called before the client
        subscribes), ``on_message``, ``on_ping``, ``on_pong``, ``on_close``, and the properties
        ``ping_interval``, ``ping_timeout`` and ``max_message_size``. In these hooks,
        `stream_write` sends a message and `finish` closes the connection.
        """
        return next(filter(None, subprotocols), None)

    @runs_at_once
    async def get(self, *args: str, **kwargs: str) -> None:
        transport = negotiate(self.request)
        timeout = waiting_time(self.request, self.poll_timeout)
        if self.max_per_address is not None:
            count_connection(self, self.request, self.max_per_address)
        names = await self._named()
        group = group_key(self.group())
        member = None if group is None else GROUPS.add(group, self)
        await self._admit(self.can_subscribe, names)
        if self._peer_left():
            return
        if member is not None and member.expelled:
            raise HTTPError(403)
        # A poll that ends before its first recheck needs none: the next poll is checked anyway.
        if self.recheck_time and not (isinstance(transport, Poll) and timeout < self.recheck_time):
            Recheck(self, names, self.recheck_time)
        queue = MessageQueue.instance(*names)
        over = queue.ended and queue._is_over(self.request.last_event_id, self.client_id())
        if over and not isinstance(transport, Handshake):
            # An EventSource does not reconnect after a 204 (WHATWG HTML 9.2).
            self.set_status(204)
            self._headers["Cache-Control"] = "no-store"
            self.finish()
            return
        if isinstance(transport, Streaming):
            options = self._framing_options()
            if self.request.method != "GET" or type(self).get is not SubscribeHandler.get:
                # Do not send the head yet: a method that calls this one may still want to answer.
                self._push(transport, options=options)
                self._subscribe(names, self)
                return
            self._stream_as(transport, options)
            self._subscribe(names, self)
            # Begin here: `_push` would wait for the next iteration of the loop.
            self._begin()
        elif isinstance(transport, Poll):
            self._headers["Cache-Control"] = "no-store"
            self._polls = traffic(transport.name)
            self._subscribe(names, self, timeout if transport.waits else 0.0)
        else:
            await in_task()
            await self._upgrade(names, expellable=bool(member is not None or self.recheck_time))

    def _subscribe(
        self,
        names: list[str],
        target: SubscribeHandler | SubscribeSocket,
        wait: float | None = None,
    ) -> None:
        """Push the events to `target`. A long poll waits `wait` seconds for the first event."""
        client = self.client_id()
        # The hook of a client that is expected back stays in memory: pass none that does nothing.
        silent = type(self).on_unsubscribe is SubscribeHandler.on_unsubscribe
        came, left, failed = self.on_subscribe, self.on_unsubscribe, self._hook_failed
        hooks: Attendance | None = None
        if not silent or getattr(came, "__func__", None) is not SubscribeHandler.on_subscribe:
            hook = "" if silent else class_name(type(self))
            hooks = Attendance(names, client, came, left, failed, hook)
        gone = None if silent else hooks
        queue = MessageQueue.instance(*names)
        if wait is None:
            poll = queue.poll(client, target._push_events, on_unsubscribe=gone)
        else:
            poll = queue.poll_once(client, self._answer, wait, on_unsubscribe=gone)
        # An anonymous client that does not wait is never a subscriber.
        if hooks is not None and (client is not None or wait != 0):
            poll.when_known(hooks.begin)

    def _hook_failed(self, error: Exception) -> None:
        self.log_exception(type(error), error, error.__traceback__)

    @shows_events
    @takes_entries
    def _push_events(self, *entries: Entry) -> None:
        for entry in entries:
            self.stream_write(entry.event() if self._reframes else entry)

    @takes_entries
    def _answer(self, *entries: Entry) -> None:
        if not send_shared(self, entries):
            self.finish([entry.event() for entry in entries] if self._reframes else list(entries))

    def _framing_options(self) -> Option:
        options = Option.TEXT if self.text else Option.NONE
        if self.plain_messages:
            options |= Option.PLAIN
        return options | Option.TYPES if self.request.param("event_type") == "1" else options

    async def _check(self, names: list[str]) -> None:
        """See `Checked._check`."""
        token = RECHECKS.set(True)
        try:
            await self._admit(self.can_subscribe, names)
        finally:
            RECHECKS.reset(token)

    def _check_failed(self, error: BaseException) -> None:
        """See `Checked._check_failed`."""
        self.log_exception(type(error), error, error.__traceback__)
        if isinstance(error, tornado.web.HTTPError):
            self._expel(error if isinstance(error, HTTPError) else HTTPError(error.status_code))
        else:
            self._expel(HTTPError(503))

    def _expel(self, error: HTTPError) -> None:
        """End the stream or the waiting poll; `error` is the reason. A request that is not admitted
        yet is not ended here, because it is refused later.
        """
        if self._watchers is None or self._peer_left():
            return
        self._dismiss_watchers(left=True)
        if self._stream is None:
            self._peer_failed(error)
        else:
            self._end()

    async def _upgrade(self, names: list[str], expellable: bool) -> None:
        """Hand the connection to a `SubscribeSocket`."""
        socket = SubscribeSocket(self.application, self.request, outer=self, names=names)
        self._slim()
        # User hooks are called on this handler, so its methods must write to the socket.
        vars(self).update(stream_write=socket.send, write=socket.send, finish=socket.end)
        if expellable:
            vars(self).update(_expel=socket.expel)
        self._compact()
        try:
            await socket._execute([])
        finally:
            if not socket.goes_on:
                self._socket_over()

    def _socket_over(self) -> None:
        if self._finished:
            return
        for name in ("stream_write", "write", "finish", "_expel"):
            vars(self).pop(name, None)
        # The `SubscribeSocket` has answered and logged the request.
        self._finished = True
        try:
            self.on_finish()
        finally:
            self.ui = None  # type: ignore[assignment]


MessageQueue._registry.processes.doing["expel"] = partial(obey, SubscribeHandler)
