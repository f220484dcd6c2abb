"""Application: routes, templates, static files, services.

>>> from tatsumaki_py import Application, Handler
>>> class Root(Handler):
...     def get(self):
...         self.write("hello")
>>> app = Application({"/": Root})
>>> app.static_path = "static"

Differs from `tornado.web.Application`: rules may be a dict; `add_handlers` also takes Tatsumaki's
form; an unknown path is answered with a bare "404 Not Found"; ``static_path`` may be set at any
time.

Source: ``Tatsumaki::Application``.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
from collections.abc import Callable, Coroutine, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Protocol, TypeVar, overload

import tornado.web
import tornado.websocket
from tornado.httputil import HTTPConnection, HTTPMessageDelegate, HTTPServerRequest
from tornado.routing import Rule

from tatsumaki_py.endpoint.body_limit import limited
from tatsumaki_py.life import Life, make_loop_to_reload
from tatsumaki_py.logger import guard, log_answer
from tatsumaki_py.message_queue import MessageQueue
from tatsumaki_py.not_found import NoHandshake, NotFound, handshake_1_0
from tatsumaki_py.program import beside_the_program
from tatsumaki_py.push.tornado_connection import adopt_connection
from tatsumaki_py.recent_routes import RecentRoutes
from tatsumaki_py.request import Request
from tatsumaki_py.request_delegate import HandlerDelegate, RoutingDelegate
from tatsumaki_py.routes import to_rule
from tatsumaki_py.static_file import StaticFile, StaticMatches
from tatsumaki_py.template import SearchLoader, Template, TemplateEngine, render_file

__all__ = ["AnyService", "Application"]

Path = str | os.PathLike[str]
ServiceT = TypeVar("ServiceT", bound="AnyService")
HookT = TypeVar("HookT", bound=Callable[[], Any])
T = TypeVar("T")


class AnyService(Protocol):
    """A service, as the application sees it."""

    @property
    def application(self) -> Application:
        """Set by `Application.add_service`."""

    @application.setter
    def application(self, application: Application) -> None: ...
    def start(self) -> Any:
        """See `Service.start`."""

    def stop(self) -> Any:
        """See `Service.stop`."""


class Application(tornado.web.Application):
    """A `tornado.web.Application` with Tatsumaki's names.

    Args:
        handlers: rules as Tornado takes them (tuples, `tornado.web.url`, `tornado.routing.Rule`),
            or a dict ``{path: handler}``. Paths are regular expressions, as text or compiled, that
            have to match the whole path (in Perl: a prefix). A compiled pattern in
            `tornado.web.url` matches a prefix, as in Tornado.
        default_host, transforms: as in Tornado.
        settings: Tornado's settings. ``template_path`` and ``static_path`` are also attributes.
            Their defaults are the directories ``templates`` and ``static`` beside the program, if
            these exist; None means no such directory.

    Making an `Application` turns on the escaping of control characters in Tornado's log lines, so
    that no client can forge a line of the log.
    """

    def __init__(
        self,
        handlers: Iterable[Any] | Mapping[str, Any] | None = None,
        default_host: str | None = None,
        transforms: list[type[tornado.web.OutputTransform]] | None = None,
        **settings: Any,
    ) -> None:
        guard()
        static_path = settings.pop("static_path", beside_the_program("static"))
        # If the program gives a template engine, that has its own directories.
        templates = None if "template" in settings else beside_the_program("templates")
        template_path = settings.pop("template_path", templates)
        settings.setdefault("default_handler_class", NotFound)
        # static_url() also reads this setting.
        settings.setdefault("static_handler_class", StaticFile)
        rules = handlers.items() if isinstance(handlers, Mapping) else handlers or ()
        make_loop_to_reload(settings)
        super().__init__([to_rule(rule) for rule in rules], default_host, transforms, **settings)
        self._recent_routes = RecentRoutes(self.wildcard_router)
        self._services: dict[str, AnyService] = {}
        self._life = Life()
        options = settings.keys() & {"autoescape", "template_whitespace"}
        self._default_template = Template(**{name: settings[name] for name in options})
        self._search_loader: SearchLoader | None = None
        if template_path is not None:
            self.template_path = template_path
        # All static rules share this dict, so that a new static_path applies to all of them.
        self._static_arguments: dict[str, Any] | None = None
        if static_path is not None:
            self.static_path = static_path

    # -- routes

    def route(self, path: str | re.Pattern[str], handler: Any, **kwargs: Any) -> None:
        """Add a rule at the end; `kwargs` go to ``initialize``. Raises `ValueError` if `path` is
        not a regular expression.
        """
        self.wildcard_router.add_rules([to_rule((path, handler, kwargs))])

    def add_handlers(self, host_pattern: str | re.Pattern[str], *handlers: Any) -> None:
        """Add rules: Tornado's ``add_handlers(host_pattern, [rule, ...])``, or Tatsumaki's
        ``add_handlers(path, handler, path, handler, ...)``.

        Raises `TypeError` for a path without a handler, or a rule that is not a pair.
        """
        if len(handlers) == 1 and isinstance(handlers[0], (list, tuple)):
            super().add_handlers(host_pattern, [to_rule(rule) for rule in handlers[0]])  # type: ignore[arg-type]
            return
        if len(handlers) % 2 == 0:
            raise TypeError(
                "add_handlers takes a host pattern and a list, or pairs of path and handler"
            )
        pairs = (host_pattern, *handlers)
        for path, handler in zip(pairs[::2], pairs[1::2], strict=True):
            self.route(path, handler)

    def get_handler_delegate(  # type: ignore[override]
        self,
        request: HTTPServerRequest,
        target_class: type[tornado.web.RequestHandler],
        target_kwargs: dict[str, Any] | None = None,
        path_args: list[bytes] | None = None,
        path_kwargs: dict[str, bytes] | None = None,
    ) -> HTTPMessageDelegate:
        """See `tornado.web.Application.get_handler_delegate`. The delegate refuses a body that is
        too large for the handler (`Handler.max_body_size`), and a WebSocket in HTTP/1.0.
        """
        if handshake_1_0(request) and issubclass(target_class, tornado.websocket.WebSocketHandler):
            target_class, target_kwargs = NoHandshake, None
        delegate = HandlerDelegate(
            self, request, target_class, target_kwargs, path_args, path_kwargs
        )
        return limited(
            delegate,
            request,
            target_class,
            lambda: target_class(self, request, **(target_kwargs or {})),
        )

    def start_request(
        self, server_conn: object, request_conn: HTTPConnection
    ) -> HTTPMessageDelegate:
        """See `tornado.httputil.HTTPServerConnectionDelegate.start_request`."""
        return RoutingDelegate(self, server_conn, request_conn)

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        """See `tornado.routing.Router.find_handler`. Turns the request into a `Request`, and keeps
        its connection from making a reference cycle.
        """
        self._life.remind()
        Request.adopt(request)
        adopt_connection(request.connection)
        # If no rule has a host, the default router's only rule leads to `wildcard_router`.
        one = len(self.default_router.rules) == 1
        route = self._recent_routes.find(request) if one else None
        if route is not None:
            return self.get_handler_delegate(request, **route)
        return super().find_handler(request, **kwargs)

    def log_request(self, handler: tornado.web.RequestHandler) -> None:
        """Log one line for each request, with control characters escaped. A stream is logged at its
        end, with its `Handler.stream_info`. See `tornado.web.Application.log_request`.
        """
        if "log_function" in self.settings:
            super().log_request(handler)
        else:
            log_answer(handler)

    # -- static files

    @property
    def static_path(self) -> str | None:
        """The directory that is served at ``/static/...``, ``/favicon.ico`` and ``/robots.txt``;
        None if there is none. May be set at any time.
        """
        return self.settings.get("static_path")

    @static_path.setter
    def static_path(self, path: Path | None) -> None:
        self.settings["static_path"] = os.fspath(path) if path else None
        if self._static_arguments is not None:
            self._static_arguments["path"] = self.settings["static_path"]
        elif path:
            self._static_arguments = self.settings.setdefault("static_handler_args", {})
            self._static_arguments["path"] = self.settings["static_path"]
            handler = self.settings["static_handler_class"]
            prefix = re.escape(self.settings.get("static_url_prefix", "/static/"))
            # Rules with a host come before the program's own, like Plack's middleware.
            super().add_handlers(
                r".*",
                [
                    Rule(StaticMatches(pattern, self.settings), handler, self._static_arguments)
                    for pattern in (prefix + r"(.*)", r"/(favicon\.ico)", r"/(robots\.txt)")
                ],
            )

    # -- templates

    @property
    def template_path(self) -> str | list[str] | None:
        """The directory of the templates, or a list of directories to search in order. May be set
        at any time.
        """
        path = self.settings.get("template_path")
        return list(path) if isinstance(path, tuple) else path

    @template_path.setter
    def template_path(self, path: Path | Iterable[Path]) -> None:
        paths = [path] if isinstance(path, (str, os.PathLike)) else path
        names = [os.fspath(name) for name in paths]
        self.template.include_path = self._default_template.include_path = names
        single = isinstance(path, (str, os.PathLike))
        self.settings["template_path"] = names[0] if single else tuple(names)
        if self.settings.get("template_loader") is self._search_loader:
            # Plain Tornado handlers accept only one directory, or a loader.
            self.settings.pop("template_loader", None)
            self._search_loader = None if single else self._default_template.loader
            if self._search_loader is not None:
                self.settings["template_loader"] = self._search_loader

    @property
    def template(self) -> TemplateEngine:
        """The template engine, a `TemplateEngine`. The default is `Template`."""
        return self.settings.get("template") or self._default_template

    @template.setter
    def template(self, engine: TemplateEngine) -> None:
        self.settings["template"] = engine

    def render_file(
        self, name: str, args: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> str | bytes:
        """Render a template outside of any request. Raises `FileNotFoundError` if it is missing."""
        return render_file(self.template, self.settings, name, {**(args or {}), **kwargs})

    # -- services

    @overload
    def add_service(self, service: ServiceT, /) -> ServiceT: ...
    @overload
    def add_service(self, name: str, service: ServiceT, /) -> ServiceT: ...
    def add_service(self, *args: Any) -> Any:
        """Add a service, set its ``application`` and return it.

        Its `start` is called when the application starts, or immediately if the application is
        running; in that case, an awaitable that `start` returns becomes a task. Its `stop` is
        called when the application stops. Both run in an empty context: a poll or task that they
        begin belongs to no request.

        Without a ``name``, the service is named after its class; 0 is appended to the name of a
        second service of that class, 1 to that of a third. With a ``name``, the service replaces an
        earlier one of that name.
        """
        if len(args) == 2:
            name, service = args
        else:
            (service,) = args
            kind = type(service).__name__
            taken = itertools.chain([kind], (f"{kind}{number}" for number in itertools.count()))
            name = next(name for name in taken if name not in self._services)
        # Look at the class: the attribute `application` raises if the service has none yet.
        if not all(hasattr(type(service), name) for name in ("application", "start", "stop")):
            raise TypeError(f"add_service takes an instance of a Service class, not {service!r}")
        service.application = self
        if name in self._services:
            self._life.discard(self._services[name])
        self._services[name] = service
        self._life.add(f"the service {name}", service.start, service.stop, service)
        return service

    def service(self, name: str) -> Any:
        """The service of that name, or None."""
        return self._services.get(name)

    @property
    def services(self) -> Mapping[str, AnyService]:
        """All services by name, in the order they were added. Read-only."""
        return MappingProxyType(self._services)

    # -- start, stop, background work

    async def start(self) -> None:
        """Start the services and call the `on_start` functions, one after the other, in the order
        in which they were added. `Server` does this before it listens; a program with
        its own `HTTPServer` must call ``await app.start()``.

        Raises `RuntimeError` if the application is running, or if a service or function fails. In
        the latter case, the message names the one that failed, ``__cause__`` is the reason, and
        those that have started are stopped.
        """
        # From now on, any thread may publish.
        MessageQueue._registry.thread.claim()
        await self._life.start()

    async def stop(self) -> None:
        """Cancel the tasks of `spawn` and wait for them, then stop the services and call the
        `on_stop` functions, in reverse order. `Server` does this when it stops.

        Each step may take up to 5 seconds. If one takes longer, the log names it, and the stop
        continues. Exceptions are logged. Raises `RuntimeError` while the application starts or
        stops.
        """
        await self._life.stop()

    def on_start(self, function: HookT) -> HookT:
        """Call `function`, which may be ``async def``, without arguments when the application
        starts, or immediately if it is running. Can be used as a decorator. See `start`.
        """
        self._life.add(_name(function), function, None)
        return function

    def on_stop(self, function: HookT) -> HookT:
        """Call `function`, which may be ``async def``, without arguments when the application
        stops. Can be used as a decorator. See `stop`.
        """
        self._life.add(_name(function), None, function)
        return function

    def spawn(self, coroutine: Coroutine[Any, Any, T], name: str | None = None) -> asyncio.Task[T]:
        """Run `coroutine` in the background. It belongs to no request: ``app.spawn(work())``.

        The application keeps the task alive, logs its failure, and cancels and awaits it when the
        application stops. The task begins when the loop is running. Its default name is that of the
        function. Raises `TypeError` for a function: call it. Raises `RuntimeError` in another
        thread.
        """
        return self._life.spawn(coroutine, name)


def _name(function: Callable[[], Any]) -> str:
    return getattr(function, "__qualname__", None) or repr(function)
