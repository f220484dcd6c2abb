"""Converts the rules of a program to Tornado's. A pattern has to match the whole path."""

from __future__ import annotations

import re
from typing import Any

import tornado.web
from tornado.routing import Rule

__all__ = ["to_rule"]


def to_rule(rule: Any) -> Any:
    """`rule` in a form that Tornado accepts. Raises `TypeError` if it is not a pair, `ValueError`
    for a bad pattern.
    """
    if isinstance(rule, Rule):
        return rule
    if not isinstance(rule, (tuple, list)) or not 2 <= len(rule) <= 4:
        raise TypeError(f"a rule must be a pair like ('/path', Handler), not {rule!r}")
    matcher, target, *more = rule
    if isinstance(matcher, str):
        try:
            re.compile(matcher)
        except re.error as error:
            raise ValueError(f"route {matcher!r} is not a regular expression: {error}") from None
    if isinstance(target, (tuple, list)):
        target = [to_rule(nested) for nested in target]
    # Tornado would take a compiled pattern in a tuple for a Matcher, and no request would reach the
    # rules after it.
    if isinstance(matcher, re.Pattern):
        return tornado.web.url(_ToTheEnd(matcher), target, *more)  # type: ignore[arg-type]
    return (matcher, target, *more)


class _ToTheEnd:
    """A compiled pattern whose `match` has to match the whole path, with the same groups. Tornado
    uses only these attributes of a pattern.
    """

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.pattern, self.flags = pattern.pattern, pattern.flags
        self.groups, self.groupindex = pattern.groups, pattern.groupindex
        self.match = pattern.fullmatch
