"""Handler: answer immediately, later, or keep pushing.

>>> from tatsumaki_py import Application, Handler
>>> class Hello(Handler):
...     def get(self, name):
...         self.write({"hello": name})
>>> app = Application([(r"/hello/(\\w+)", Hello)])

Differs from `tornado.web.RequestHandler` in:

1. ``asynchronous = True`` (Tatsumaki's word): the answer stays open when the method returns, until
   you call `finish` or the client leaves.
2. `write` takes lists, tuples and numbers, and several arguments. Lists become JSON, as in
   Tatsumaki; Tornado refuses them because of a vulnerability in browsers before 2011. JSON is sent
   as ``application/json`` without a charset, because RFC 8259 defines none.
3. Errors are text/plain: the message of an `Error.HTTP`, or the status phrase for other errors. A
   405 has the header ``Allow``.
4. `get` also answers HEAD.
5. An `asynchronous` answer has no ETag, so a long poll is never answered with 304.
6. After the client has left, `write`, `flush` and `finish` do nothing, and `stream_write` raises
   `Error.ClientDisconnect`.
7. Without a ``template_path``, templates are looked up beside the module of the handler's class (in
   Tornado, beside the caller's).
8. `stream_write` takes over the connection from the server. Its data does not pass through output
   transforms such as compression. At the end, the connection is closed.
9. After `finish`, a second `finish`, `write`, `render`, `redirect` and `stream_write` do nothing,
   as in Tatsumaki; Tornado raises `RuntimeError`. The logger ``tatsumaki`` gets one line for each
   such request, at level DEBUG, or WARNING if ``asynchronous`` was forgotten. A coroutine that
   awaits such a `stream_write` gets an `Error.ClientDisconnect`.
10. `write` and `stream_write` accept None or no argument, and then write nothing, as in Tatsumaki.
    Tornado refuses None.
11. The letter case of a form's media type does not matter. A form that cannot be read, or that
    would take long to read, is refused with the reason; see ``tatsumaki_py.form``.

Source: ``Tatsumaki::Handler``.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import sys
from collections.abc import Awaitable, Callable, Iterable
from http.client import responses
from typing import Any, ClassVar

import tornado.web
from tornado.template import BaseLoader

from tatsumaki_py.error import HTTPError
from tatsumaki_py.logger import LogAttribute
from tatsumaki_py.push.answer_handler import AnswerHandler
from tatsumaki_py.template import SearchLoader, render_file
from tatsumaki_py.ticket import create

__all__ = ["Handler"]


class Handler(AnswerHandler):
    """The base class of your handlers. It works in any `tornado.web.Application`."""

    log = LogAttribute()
    """Logs a line, ``self.log("%s joined", name)``, and is a logger, ``self.log.debug(...)``; see
    `tatsumaki_py.logger.Log`.
    """

    max_body_size: ClassVar[int | None] = None
    """The most bytes in the body of one request; None for the limit of the server. In an
    `Application`, a larger body is refused with 413 before it is read. In a plain
    `tornado.web.Application`, only the limit of the server applies, because Tornado reads the whole
    body first.
    """

    @property
    def args(self) -> list[str]:
        """The text that the groups of the route matched (`path_args`); None for an unused group."""
        return self.path_args

    @args.setter
    def args(self, args: list[str]) -> None:
        self.path_args = args

    def head(self, *args: Any, **kwargs: Any) -> Any:
        """Answer HEAD as GET without a body. Override this to do less work."""
        return self.get(*args, **kwargs)

    def render(
        self, template_name: str, *namespaces: dict[str, Any], **kwargs: Any
    ) -> asyncio.Future[None]:
        """Render a template as the answer and finish it.

        Args:
            template_name: a file in ``template_path``. If it is missing, `FileNotFoundError` is
                raised, which is answered with 500.
            namespaces: dicts of names for the template, in addition to Tornado's (``handler``,
                ``request``, ...).
            kwargs: more names, which take precedence.
        """
        if self._peer_left():
            self._too_late("render()")
            return self.finish()
        args = {key: value for namespace in namespaces for key, value in namespace.items()} | kwargs
        engine = self.settings.get("template")
        if engine is None:
            return super().render(template_name, **args)
        names = self.get_template_namespace() | args
        return self.finish(render_file(engine, self.settings, template_name, names))

    def get_template_path(self) -> str:
        """The directory of the templates: the setting ``template_path`` or, without it, the
        directory of the handler's module.
        """
        path = self.settings.get("template_path")
        if path is None:
            module = sys.modules.get(type(self).__module__)
            path = os.path.dirname(getattr(module, "__file__", None) or "") or os.getcwd()
        # Tornado keeps one loader for each path, so it has to be a str.
        return (
            os.fspath(path)
            if isinstance(path, (str, os.PathLike))
            else "\0".join(map(os.fspath, path))
        )

    def create_template_loader(self, template_path: str) -> BaseLoader:
        """A loader for the directories of `get_template_path`; see
        `tornado.web.RequestHandler.create_template_loader`.
        """
        if self.settings.get("template_loader") is not None:
            return super().create_template_loader(template_path)
        names = {"autoescape": "autoescape", "whitespace": "template_whitespace"}
        options = {key: self.settings[name] for key, name in names.items() if name in self.settings}
        return SearchLoader(template_path.split("\0"), **options)

    def create_ticket(
        self,
        channels: Iterable[str | int],
        seconds: float,
        group: str | bytes | int | None = None,
    ) -> str:
        """Return a ticket: a text that lets a client subscribe through a `TicketedHandler`. The
        ticket is sent in the URL, because an ``EventSource`` or a ``WebSocket`` cannot set headers,
        and needs no escaping there.

        Args:
            channels: the names of the channels, 1 to 200.
            seconds: how long the ticket is valid, up to 86400 (a day). An open connection may
                outlive it.
            group: the user, for `SubscribeHandler.disconnect`; None for no user.

        Raises:
            RuntimeError: the setting ``cookie_secret`` is missing.
            TypeError, ValueError: an argument is invalid, or the text has more than 16384
                characters.
        """
        return create(self, channels, seconds, group)

    # -- errors

    def async_cb(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a callback, so that an exception that it raises becomes the answer, as if the
        handler's method had raised it.
        """

        @functools.wraps(callback)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            try:
                result = callback(*args, **kwargs)
            except Exception as error:
                self._fail(error)
                return None
            return self._guard(result) if inspect.isawaitable(result) else result

        guarded.__self__ = self  # type: ignore[attr-defined]
        return guarded

    def _guard(self, awaitable: Awaitable[Any]) -> asyncio.Task[Any]:
        async def guard() -> Any:
            try:
                return await awaitable
            except Exception as error:
                self._fail(error)

        return asyncio.ensure_future(guard())

    def _fail(self, error: BaseException) -> None:
        self.log_exception(type(error), error, error.__traceback__)
        self._peer_failed(error)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Write an error as text/plain. Override as in Tornado."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if status_code == 405:
            self.set_header("Allow", ", ".join(self._allowed()))
        if status_code in (204, 304) or status_code < 200:
            self.finish()
        elif self.settings.get("serve_traceback") and error is not None:
            super().write_error(status_code, **kwargs)
        else:
            self.set_header("Content-Type", "text/plain; charset=UTF-8")
            if isinstance(error, HTTPError):
                if error.retry_after is not None:
                    self.set_header("Retry-After", error.retry_after)
                self.finish(error.message)
            else:
                known = error.reason if isinstance(error, tornado.web.HTTPError) else None
                reason = kwargs.get("reason") or known or responses.get(status_code, "Unknown")
                self.finish(str(reason))

    def _allowed(self) -> list[str]:
        # In Tornado, all methods that a class does not define are the same function, which answers
        # 405.
        missing = tornado.web.RequestHandler.get
        verbs = {
            name: getattr(type(self), name.lower(), missing) for name in self.SUPPORTED_METHODS
        }
        if verbs.get("HEAD") is Handler.head:
            verbs["HEAD"] = type(self).get
        return [name for name, verb in verbs.items() if verb is not missing]
