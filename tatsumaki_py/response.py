"""The status, the headers and the body that a handler is about to send.

Source: ``Tatsumaki::Response``, ``Plack::Response``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, overload

from tornado.web import RequestHandler

__all__ = ["Cookies", "Response"]

# A token of RFC 9110 5.6.2.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Cookies:
    """The cookies to be set: ``cookies[name] = value``, or ``= {"value": ..., "path": ..., ...}``;
    ``del cookies[name]`` expires one.

    The attributes are those of `tornado.web.RequestHandler.set_cookie`: domain, expires, path,
    max_age (seconds), httponly, secure, samesite.
    """

    __slots__ = ("_handler",)

    def __init__(self, handler: RequestHandler) -> None:
        self._handler = handler

    def __setitem__(self, name: str, value: str | Mapping[str, Any]) -> None:
        attributes = {"value": value} if isinstance(value, str) else dict(value)
        self._handler.set_cookie(name, attributes.pop("value"), **attributes)

    def __delitem__(self, name: str) -> None:
        self._handler.clear_cookie(name)


class Response:
    """Another way to say `set_status`, `set_header` and so on; it keeps nothing itself.

    Changes after the first flush go nowhere, as with Tornado's methods.
    """

    __slots__ = ("_handler",)

    def __init__(self, handler: RequestHandler) -> None:
        self._handler = handler

    @property
    def status(self) -> int:
        """The status code; an unknown code gets the phrase "Unknown"."""
        return self._handler.get_status()

    @status.setter
    def status(self, code: int) -> None:
        self._handler.set_status(code)

    @property
    def content_type(self) -> str | None:
        """The header Content-Type."""
        return self.header("Content-Type")

    @content_type.setter
    def content_type(self, value: str) -> None:
        self._handler.set_header("Content-Type", value)

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, names without regard to case."""
        # Not documented by Tornado, and there is no other way to read a header.
        return self._handler._headers

    @overload
    def header(self, name: str) -> str | None: ...
    @overload
    def header(self, name: str, value: str | int) -> None: ...
    def header(self, name: str, value: str | int | None = None) -> str | None:
        """The value of a header (None if it is not set), or, with two arguments, set it.
        `ValueError` for CR, LF or NUL in it.
        """
        if value is None:
            return self.headers.get(name)
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"not a header's name: {name!r}")
        self._handler.set_header(name, value)
        return None

    @property
    def body(self) -> bytes:
        """What was written and not flushed yet; set it to replace that by anything that
        `Handler.write` takes.
        """
        return b"".join(self._handler._write_buffer)

    @body.setter
    def body(self, chunk: Any) -> None:
        self._handler._write_buffer = []
        self._handler.write(chunk)

    @property
    def cookies(self) -> Cookies:
        """The cookies to be set."""
        return Cookies(self._handler)

    def redirect(self, url: str, status: int = 302) -> None:
        """Answer with ``Location: url`` and no body, and finish: see
        `tornado.web.RequestHandler.redirect`.
        """
        self._handler.redirect(url, status=status)
