"""The handlers of recent paths, so that a request need not be compared with each rule.

Rules:
1. Only a rule whose matcher looks at nothing but the path is remembered, and only if the matchers
   of all rules before it do the same.
2. Adding a rule forgets all paths. The number of paths, and their length, is bounded.
"""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

from tornado.httputil import HTTPServerRequest
from tornado.routing import PathMatches, Rule, RuleRouter
from tornado.web import RequestHandler

__all__ = ["RecentRoutes", "Route"]

MAX_PATHS = 256
LONG_PATH = 200
"""Characters of a path that is not remembered any more."""


class Route(NamedTuple):
    """What `tornado.web.Application.get_handler_delegate` takes after the request."""

    target_class: type[RequestHandler]
    target_kwargs: dict[str, Any] | None
    path_args: list[bytes] | None
    path_kwargs: dict[str, bytes] | None


class RecentRoutes:
    """Those of one router."""

    __slots__ = ("_count", "_found", "_router")

    def __init__(self, router: RuleRouter) -> None:
        self._router = router
        self._count = 0
        self._found: dict[str, Route] = {}

    def find(self, request: HTTPServerRequest) -> Route | None:
        """The handler of `request`; None if the router has to be asked."""
        rules = self._router.rules
        if len(rules) != self._count:
            self._count = len(rules)
            self._found.clear()
        return self._found.get(request.path) or self._search(rules, request)

    def _search(self, rules: list[Rule], request: HTTPServerRequest) -> Route | None:
        for rule in rules:
            handles = inspect.isclass(rule.target) and issubclass(rule.target, RequestHandler)
            if type(rule.matcher) is not PathMatches or not handles:
                return None
            matched = rule.matcher.match(request)
            if matched is None:
                continue
            arguments = matched.get("path_args"), matched.get("path_kwargs")
            route = Route(rule.target, rule.target_kwargs or None, *arguments)
            if len(request.path) <= LONG_PATH:
                if len(self._found) >= MAX_PATHS:
                    self._found.clear()
                self._found[request.path] = route
            return route
        return None
