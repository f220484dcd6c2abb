"""The headers of an answer after they were sent: shared, because thousands of streams are idle."""

from __future__ import annotations

from typing import Any

from tornado.httputil import HTTPHeaders

__all__ = ["SENT"]


class _SentHeaders(HTTPHeaders):
    """In place of headers that are out: changes go nowhere."""

    def __setitem__(self, name: str, value: str) -> None:
        pass

    def __delitem__(self, name: str) -> None:
        pass

    def add(self, name: str, value: str, **kwargs: Any) -> None:
        pass


SENT: HTTPHeaders = _SentHeaders()
