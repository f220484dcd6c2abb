"""From the head of a request to its handler, with less work than Tornado's own delegates.

Rule: a task that runs a handler is kept until it ends, and the loop logs an exception that it
raises.

Uses names that Tornado does not document: `_ABNF`, `_DEFAULT_PARSE_BODY_CONFIG`,
`_DefaultMessageDelegate`, `_HandlerDelegate`, `_RoutingDelegate`, `_execute`, `_finish_time`,
`_start_time` (``t/handler/test_shortcuts.py``).
"""

from __future__ import annotations

import asyncio
import inspect
import re
import time
from collections.abc import Awaitable
from functools import lru_cache
from typing import Any, TypeVar, cast

from tornado import httputil
from tornado.escape import parse_qs_bytes
from tornado.gen import convert_yielded
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPInputError,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    HTTPServerRequest,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.log import app_log
from tornado.routing import Router, _DefaultMessageDelegate, _RoutingDelegate
from tornado.web import _HandlerDelegate

from tatsumaki_py.at_once import FINISHED
from tatsumaki_py.request import Request

__all__ = ["HandlerDelegate", "RoutingDelegate", "TornadoApplication", "lean", "received"]

_tasks: set[asyncio.Future[Any]] = set()


class RoutingDelegate(_RoutingDelegate):
    """Finds the handler of a request.

    Args:
        kind: the class of the request.
    """

    def __init__(
        self,
        router: Router,
        server_connection: object,
        connection: HTTPConnection,
        kind: type[HTTPServerRequest] = Request,
    ) -> None:
        super().__init__(router, server_connection, connection)
        self._kind = kind

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        line = cast(RequestStartLine, start_line)
        request = received(self._kind, self.request_conn, self.server_conn, line, headers)
        found = self.router.find_handler(request)
        if found is None:
            app_log.debug("Delegate for %s %s request not found", line.method, line.path)
            found = _DefaultMessageDelegate(self.request_conn)
        elif type(found) is _HandlerDelegate:
            found.__class__ = HandlerDelegate
        self.delegate = found
        return found.headers_received(start_line, headers)


class TornadoApplication(HTTPServerConnectionDelegate):
    """Wraps any `tornado.routing.Router`, such as a `tornado.web.Application`, and makes its
    requests in fewer steps.
    """

    def __init__(self, router: Router) -> None:
        self._router = router

    def start_request(
        self, server_conn: object, request_conn: HTTPConnection
    ) -> HTTPMessageDelegate:
        """See `tornado.httputil.HTTPServerConnectionDelegate.start_request`."""
        return RoutingDelegate(self._router, server_conn, request_conn, HTTPServerRequest)


def lean(delegate: Any) -> Any:
    """`delegate`, or a replacement that does the same in fewer steps."""
    # Replace it only if it uses Tornado's `start_request`, not an override.
    start = getattr(getattr(delegate, "start_request", None), "__func__", None)
    return TornadoApplication(delegate) if start is Router.start_request else delegate


_Kind = TypeVar("_Kind", bound=HTTPServerRequest)


def received(
    kind: type[_Kind],
    connection: HTTPConnection,
    server_connection: object,
    start_line: RequestStartLine,
    headers: HTTPHeaders,
) -> _Kind:
    """A request of the class `kind` whose head has arrived. This does not call the constructor,
    which would copy the fields of the query with `copy.deepcopy` and check deprecated arguments.

    Raises `tornado.httputil.HTTPInputError` if the header Host is missing or invalid, or the query
    has too many fields.
    """
    request = kind.__new__(kind)
    request.method, request.uri, request.version = start_line
    request.headers = headers
    request.body = b""
    context = getattr(connection, "context", None)
    request.remote_ip = getattr(context, "remote_ip", None)
    request.protocol = getattr(context, "protocol", "http")
    # HTTP/1.0 does not require the header.
    host = headers.get("Host", "127.0.0.1" if request.version == "HTTP/1.0" else None)
    if host is None:
        raise HTTPInputError("Missing Host header")
    request.host = host
    request.host_name = _recent_host(host) if len(host) <= _LONG_HOST else _host_name(host)
    request.files = {}
    request.connection, request.server_connection = connection, server_connection
    # A `Request` measures its time by a monotonic clock.
    request._start_time = time.time() if kind is HTTPServerRequest else time.monotonic()
    request._finish_time = None
    request.path, _, request.query = start_line.path.partition("?")
    request.arguments = arguments = _fields(request.query) if request.query else {}
    request.query_arguments = {name: values[:] for name, values in arguments.items()}
    request.body_arguments = {}
    return request


_LONG_HOST = 100
"""The most characters of a host that is cached."""


def _host_name(host: str) -> str:
    """The name in a header Host, without its port."""
    if "," in host or not httputil._ABNF.host.fullmatch(host):
        raise HTTPInputError(f"Invalid Host header: {host!r}")
    return httputil.split_host_and_port(host.lower())[0]


_recent_host = lru_cache(256)(_host_name)


_ESCAPED = re.compile("[%+]")


def _fields(query: str) -> dict[str, list[bytes]]:
    # A program may change the limit (`tornado.httputil.set_parse_body_config`).
    limit = httputil._DEFAULT_PARSE_BODY_CONFIG.urlencoded.max_arguments
    if query.isascii() and not _ESCAPED.search(query) and query.count("&") < limit:
        # Do what `parse_qs_bytes` does if nothing is escaped.
        fields: dict[str, list[bytes]] = {}
        for field in filter(None, query.split("&")):
            name, _, value = field.partition("=")
            fields.setdefault(name, []).append(value.encode())
        return fields
    try:
        return parse_qs_bytes(query, keep_blank_values=True, max_num_fields=limit)
    except ValueError as error:
        raise HTTPInputError(f"Invalid query string: {error}") from error


class HandlerDelegate(_HandlerDelegate):
    """Makes the handler when the request is complete, and runs it."""

    def execute(self) -> Awaitable[None] | None:
        settings = self.application.settings
        cached = settings.get("compiled_template_cache", True)
        if self.stream_request_body or not (cached and settings.get("static_hash_cache", True)):
            return super().execute()
        handler = self.handler_class(self.application, self.request, **self.handler_kwargs)
        transforms = [transform(self.request) for transform in self.application.transforms]
        running: Any = handler._execute(transforms, *self.path_args, **self.path_kwargs)
        if running is FINISHED:
            return None
        if inspect.iscoroutine(running):
            task: asyncio.Future[Any] = asyncio.get_running_loop().create_task(running)
        else:
            # This is the task that continues a request (`at_once`), or the result of an override.
            task = convert_yielded(running)
        _tasks.add(task)
        task.add_done_callback(_over)
        return None


def _over(task: asyncio.Future[Any]) -> None:
    _tasks.discard(task)
    if not task.cancelled():
        task.result()
