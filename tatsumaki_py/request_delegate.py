"""From the head of a request to its handler, with less work than Tornado's own delegates.

Rule: a task that runs a handler is kept until it ends, and what it raises is logged by the loop.

Touches of Tornado's what its documentation does not name: `_ABNF`, `_DEFAULT_PARSE_BODY_CONFIG`,
`_DefaultMessageDelegate`, `_HandlerDelegate`, `_RoutingDelegate`, `_execute`, `_finish_time`,
`_start_time` (``t/handler/test_shortcuts.py``).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any, cast

from tornado import httputil
from tornado.escape import parse_qs_bytes
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPInputError,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.routing import _DefaultMessageDelegate, _RoutingDelegate
from tornado.web import _HandlerDelegate

from tatsumaki_py.at_once import FINISHED
from tatsumaki_py.request import Request

__all__ = ["HandlerDelegate", "RoutingDelegate", "received"]

_tasks: set[asyncio.Task[Any]] = set()


class RoutingDelegate(_RoutingDelegate):
    """Finds the handler of a request, which is a `Request` from its beginning."""

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        line = cast(RequestStartLine, start_line)
        request = received(self.request_conn, self.server_conn, line, headers)
        found = self.router.find_handler(request)
        self.delegate = _DefaultMessageDelegate(self.request_conn) if found is None else found
        return self.delegate.headers_received(start_line, headers)


def received(
    connection: HTTPConnection,
    server_connection: object,
    start_line: RequestStartLine,
    headers: HTTPHeaders,
) -> Request:
    """The request whose head has arrived. Its constructor would copy the fields of the query with
    `copy.deepcopy`, and look for arguments that are deprecated.

    Raises `tornado.httputil.HTTPInputError` if the header Host is missing or invalid, or the query
    has too many fields.
    """
    request = Request.__new__(Request)
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
    if "," in host or not httputil._ABNF.host.fullmatch(host):
        raise HTTPInputError(f"Invalid Host header: {host!r}")
    request.host = host
    request.host_name = httputil.split_host_and_port(host.lower())[0]
    request.files = {}
    request.connection, request.server_connection = connection, server_connection
    request._start_time, request._finish_time = time.monotonic(), None
    request.path, _, request.query = start_line.path.partition("?")
    request.arguments = _fields(request.query) if request.query else {}
    request.query_arguments = {name: values[:] for name, values in request.arguments.items()}
    request.body_arguments = {}
    return request


def _fields(query: str) -> dict[str, list[bytes]]:
    # A program may change the limit (`tornado.httputil.set_parse_body_config`).
    limit = httputil._DEFAULT_PARSE_BODY_CONFIG.urlencoded.max_arguments
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
        # A request that was begun without a task may go on in one.
        begun = isinstance(running, asyncio.Task)
        task = running if begun else asyncio.get_running_loop().create_task(running)
        _tasks.add(task)
        task.add_done_callback(_over)
        return None


def _over(task: asyncio.Task[Any]) -> None:
    _tasks.discard(task)
    if not task.cancelled():
        task.result()
