"""The handlers of recent paths, so that a request need not be compared with each rule.

Rules:
1. A rule is remembered only if its matcher, and the matchers of all rules before it, look only at
   the path.
2. After any change to the list of rules, no path is remembered. The number of paths and their
   length are bounded.
3. Each request gets its own lists and dicts, because an override may change them.
"""

from __future__ import annotations

import inspect
from typing import Any

from tornado.httputil import HTTPServerRequest
from tornado.routing import PathMatches, Rule, RuleRouter
from tornado.web import RequestHandler

__all__ = ["RecentRoutes"]

MAX_PATHS = 256
LONG_PATH = 200
"""A path of this many characters or more is not remembered."""

_Match = tuple[Rule, dict[str, Any]]
"""A rule, and the result of its matcher."""


class RecentRoutes:
    """The recent routes of one router."""

    __slots__ = ("_found", "_router", "_rules")

    def __init__(self, router: RuleRouter) -> None:
        self._router = router
        self._rules: list[Rule] = []
        self._found: dict[str, _Match] = {}

    def find(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        """The arguments that `tornado.web.Application.get_handler_delegate` takes after the
        request, by name. None if the router has to be asked.
        """
        rules = self._router.rules
        if rules != self._rules:
            self._rules = rules[:]
            self._found.clear()
        match = self._found.get(request.path) or self._search(rules, request)
        if match is None:
            return None
        rule, matched = match
        arguments = {name: value.copy() for name, value in matched.items()}
        if rule.target_kwargs:
            arguments["target_kwargs"] = rule.target_kwargs
        arguments["target_class"] = rule.target
        return arguments

    def _search(self, rules: list[Rule], request: HTTPServerRequest) -> _Match | None:
        for rule in rules:
            handles = inspect.isclass(rule.target) and issubclass(rule.target, RequestHandler)
            if type(rule.matcher) is not PathMatches or not handles:
                return None
            matched = rule.matcher.match(request)
            if matched is None:
                continue
            if len(request.path) <= LONG_PATH:
                if len(self._found) >= MAX_PATHS:
                    self._found.clear()
                self._found[request.path] = rule, matched
            return rule, matched
        return None
