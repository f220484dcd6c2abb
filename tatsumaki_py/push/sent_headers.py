"""The headers of an answer after they were sent. All streams share one object, because thousands of
streams may be idle.

Uses a name that Tornado does not document: `_as_list`
(``t/handler/test_tornado_contract.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tornado.httputil import HTTPHeaders

__all__ = ["SENT", "SentHeaders"]


class SentHeaders(HTTPHeaders):
    """Stands in for headers that were already sent. Setting, adding or deleting has no effect."""

    @classmethod
    def of(cls, values: Mapping[str, list[str]]) -> SentHeaders:
        """Headers with these values by name."""
        headers = cls()
        headers._as_list.update(values)
        return headers

    def __setitem__(self, name: str, value: str) -> None:
        pass

    def __delitem__(self, name: str) -> None:
        pass

    def add(self, name: str, value: str, **kwargs: Any) -> None:
        pass


SENT: HTTPHeaders = SentHeaders()
