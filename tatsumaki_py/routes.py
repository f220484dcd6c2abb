"""Rules as a program writes them, and as Tornado takes them: each path matches to its end."""

from __future__ import annotations

import re
from typing import Any

import tornado.web
from tornado.routing import Rule

__all__ = ["to_rule"]


def to_rule(rule: Any) -> Any:
    """`rule` as Tornado takes it. `TypeError` if it is no pair, `ValueError` for a bad pattern."""
    if isinstance(rule, Rule):
        return rule
    if not isinstance(rule, (tuple, list)) or not 2 <= len(rule) <= 4:
        raise TypeError(f"a rule is a pair like ('/path', Handler), not {rule!r}")
    matcher, target, *more = rule
    if isinstance(matcher, str):
        try:
            re.compile(matcher)
        except re.error as error:
            raise ValueError(f"route {matcher!r} is no regular expression: {error}") from None
    if isinstance(target, (tuple, list)):
        target = [to_rule(nested) for nested in target]
    # Tornado would treat a pattern in a tuple as a Matcher, and no request would reach the rules
    # after it.
    if isinstance(matcher, re.Pattern):
        return tornado.web.url(_ToTheEnd(matcher), target, *more)  # type: ignore[arg-type]
    return (matcher, target, *more)


class _ToTheEnd:
    """A compiled pattern whose `match` matches the whole of a path, with the same groups; Tornado
    asks nothing else of it.
    """

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.pattern, self.flags = pattern.pattern, pattern.flags
        self.groups, self.groupindex = pattern.groups, pattern.groupindex
        self.match = pattern.fullmatch
