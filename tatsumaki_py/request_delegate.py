"""From the head of a request to its handler, with less work than Tornado's own delegates.

Rule: a task that runs a handler is kept until it ends, and what it raises is logged by the loop.

Touches of Tornado's what its documentation does not name: `_HandlerDelegate`, `_RoutingDelegate`,
`_DefaultMessageDelegate`, `_execute` (``t/handler/test_shortcuts.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, cast

from tornado.httputil import HTTPHeaders, RequestStartLine, ResponseStartLine
from tornado.routing import _DefaultMessageDelegate, _RoutingDelegate
from tornado.web import _HandlerDelegate

from tatsumaki_py.at_once import FINISHED
from tatsumaki_py.request import Request

__all__ = ["HandlerDelegate", "RoutingDelegate"]

_tasks: set[asyncio.Task[Any]] = set()


class RoutingDelegate(_RoutingDelegate):
    """Finds the handler of a request, which is a `Request` from its beginning."""

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        request = Request(
            connection=self.request_conn,
            server_connection=self.server_conn,
            start_line=cast(RequestStartLine, start_line),
            headers=headers,
        )
        found = self.router.find_handler(request)
        self.delegate = _DefaultMessageDelegate(self.request_conn) if found is None else found
        return self.delegate.headers_received(start_line, headers)


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
