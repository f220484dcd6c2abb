"""Calls `on_unsubscribe` for clients whose process has ended and that have not come back.

Rules:
1. The request of such a client ended with its process, so the hook is called on a new handler, for
   a request that has only the parameter ``client_id``.
2. A process calls the hooks only of handler classes that have served a request in this process,
   because it does not know the `Application` of other classes.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from contextvars import Context
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import tornado.web
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from tatsumaki_py.endpoint.attendance import Attendance, Hook
from tatsumaki_py.message_queue import MessageQueue

__all__ = ["class_name", "served"]

_names: weakref.WeakKeyDictionary[type, str] = weakref.WeakKeyDictionary()
_applications: weakref.WeakKeyDictionary[type, object] = weakref.WeakKeyDictionary()


def class_name(kind: type) -> str:
    """The name of a class, the same in each process that runs the program.

    >>> class_name(HTTPHeaders)
    'httputil.HTTPHeaders'
    """
    name = _names.get(kind)
    if name is None:
        module = kind.__module__
        if module == "__main__":
            # A worker may import the program, so use the name that the import would give it.
            module = Path(getattr(sys.modules["__main__"], "__file__", None) or module).stem
        name = _names[kind] = f"{module.rpartition('.')[2]}.{kind.__qualname__}"
    return name


def served(
    kind: type, application: tornado.web.Application, options: dict[str, Any], left: str
) -> None:
    """A handler of class `kind` serves a request: remember how to call its hook, named `left`."""
    if _applications.get(kind) is not application:
        _applications[kind] = application
        call = partial(_gone, weakref.ref(kind), weakref.ref(application), options, left)
        MessageQueue._registry.processes.hooks[class_name(kind)] = call


def _gone(
    kind: Callable[[], Any],
    application: Callable[[], tornado.web.Application | None],
    options: dict[str, Any],
    left: str,
    channels: tuple[str, ...],
    client_id: str,
) -> None:
    """Call the hook for a client whose process has ended."""
    handler_class, app = kind(), application()
    if handler_class is None or app is None:
        return
    query = urlencode({"client_id": client_id}, errors="surrogatepass")
    request = HTTPServerRequest(
        start_line=RequestStartLine("GET", f"/?{query}", "HTTP/1.1"),
        headers=HTTPHeaders({"Host": "localhost"}),
        connection=_NoConnection(),  # type: ignore[arg-type]
    )
    # Use a new context, because a handler makes itself the current one.
    handler = Context().run(handler_class, app, request, **options)
    hook: Hook = getattr(handler, left)
    hooks = Attendance(channels, client_id, hook, hook, handler._hook_failed)
    hooks.begin(False)
    hooks.end()


class _NoConnection:
    """Stands in for the connection of a request that another process received."""

    def set_close_callback(self, callback: Callable[[], None] | None) -> None:
        """Nothing to do: this connection never closes."""
