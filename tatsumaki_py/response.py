"""The status, the headers and the body that a handler is about to send.

Source: ``Tatsumaki::Response``, ``Plack::Response``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, overload

from tornado.web import RequestHandler

from tatsumaki_py.body_encoding import EncodingHandler
from tatsumaki_py.http_token import check_header_name

__all__ = ["Cookies", "Response"]

Piece = str | bytes | bytearray | memoryview
HeaderValue = str | int | Sequence[str | int]


class Cookies:
    """The cookies to be set: ``cookies[name] = value``, or ``= {"value": ..., "path": ..., ...}``;
    ``del cookies[name]`` expires one.

    The attributes are those of `tornado.web.RequestHandler.set_cookie`: domain, expires, path,
    max_age (seconds), httponly, secure, samesite. As in Plack, max_age may be spelt ``max-age``,
    ``expires`` may also be a date as text or a number in a string, and a value may be a number. If
    max_age or expires is 0, the cookie is deleted (Tornado takes 0 for "not set").
    """

    __slots__ = ("_handler",)

    def __init__(self, handler: RequestHandler) -> None:
        self._handler = handler

    def __setitem__(self, name: str, value: str | int | Mapping[str, Any]) -> None:
        given = value if isinstance(value, Mapping) else {"value": value}
        attributes: dict[str, Any] = {key.replace("-", "_"): given[key] for key in given}
        text = attributes.pop("value", "")
        if attributes.get("max_age") in (0, "0"):
            del attributes["max_age"]
            attributes["expires"] = 0
        if attributes.get("expires") is not None:
            attributes["expires"] = _moment(attributes["expires"])
        self._handler.set_cookie(name, str(text) if isinstance(text, int) else text, **attributes)

    def __delitem__(self, name: str) -> None:
        self._handler.clear_cookie(name)


def _moment(expires: Any) -> Any:
    """The time `expires` in a form that Tornado accepts."""
    if isinstance(expires, str):
        expires = int(expires) if expires.isdecimal() else parsedate_to_datetime(expires)
    # Tornado ignores values that are false.
    return expires or datetime.fromtimestamp(0, UTC)


class Response:
    """Another interface to Tornado's ``set_status``, ``set_header`` and so on. It stores nothing
    itself.

    As with Tornado's methods, changes after the first flush have no effect.
    """

    __slots__ = ("_handler",)

    def __init__(self, handler: EncodingHandler) -> None:
        self._handler = handler

    @property
    def status(self) -> int:
        """The status code; an unknown code gets the phrase "Unknown"."""
        return self._handler.get_status()

    @status.setter
    def status(self, code: int) -> None:
        self._handler.set_status(code)

    code = status

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers; names are case-insensitive. Assign a mapping or pairs to replace all of them
        except ``Server`` and ``Date``. A list or tuple becomes one line per value.
        """
        # `_headers` is not documented by Tornado, but there is no other way to read a header.
        return self._handler._headers

    @headers.setter
    def headers(
        self, headers: Mapping[str, HeaderValue] | Iterable[tuple[str, HeaderValue]]
    ) -> None:
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        for name, _ in pairs:
            check_header_name(name)
        for name in list(self.headers):
            if name not in ("Server", "Date"):
                self._handler.clear_header(name)
        for name, value in pairs:
            self._add(name, value)

    @overload
    def header(self, name: str) -> str | None: ...
    @overload
    def header(self, name: str, value: HeaderValue) -> None: ...
    def header(self, name: str, value: HeaderValue | None = None) -> str | None:
        """The value of a header; None if it is not set. With two arguments, set it: a list or tuple
        becomes one line per value, and CR, LF or NUL in a value raises `ValueError`.
        """
        if value is None:
            return self.headers.get(name)
        check_header_name(name)
        self._handler.clear_header(name)
        self._add(name, value)
        return None

    def _add(self, name: str, value: Any) -> None:
        for line in value if isinstance(value, (list, tuple)) else (value,):
            self._handler.add_header(name, line)

    def _assign(self, name: str, value: str | int | None) -> None:
        if value is None:
            self._handler.clear_header(name)
        else:
            self._handler.set_header(name, value)

    @property
    def content_type(self) -> str | None:
        """The header Content-Type; None if it is not set. Assign None to remove it. The next three
        properties work in the same way.
        """
        return self.header("Content-Type")

    @content_type.setter
    def content_type(self, value: str | None) -> None:
        self._assign("Content-Type", value)

    @property
    def content_encoding(self) -> str | None:
        """The header Content-Encoding."""
        return self.header("Content-Encoding")

    @content_encoding.setter
    def content_encoding(self, value: str | None) -> None:
        self._assign("Content-Encoding", value)

    @property
    def content_length(self) -> int | None:
        """The header Content-Length. Tornado sets it automatically. If you set it and it does not
        match the body, finishing the answer raises an error.
        """
        value = self.header("Content-Length")
        return None if value is None else int(value)

    @content_length.setter
    def content_length(self, value: int | None) -> None:
        self._assign("Content-Length", value)

    @property
    def location(self) -> str | None:
        """The header Location, as it was given."""
        return self.header("Location")

    @location.setter
    def location(self, value: str | None) -> None:
        self._assign("Location", value)

    @property
    def body(self) -> bytes:
        """The part of the body that has not been flushed yet. Assign text, bytes or a list of them
        to replace it. Other types raise `TypeError`: use `Handler.write` for JSON.
        """
        return b"".join(self._handler._write_buffer)

    @body.setter
    def body(self, body: Piece | list[Piece] | tuple[Piece, ...] | None) -> None:
        pieces = body if isinstance(body, (list, tuple)) else () if body is None else (body,)
        for piece in pieces:
            if not isinstance(piece, (str, bytes, bytearray, memoryview)):
                raise TypeError(
                    "response.body takes text, bytes or a list of them, not "
                    f"{type(piece).__name__}; for JSON use self.write(...)"
                )
        self._handler._write_buffer = list(map(self._handler._encode, pieces))

    content = body

    @property
    def cookies(self) -> Cookies:
        """The cookies to be set."""
        return Cookies(self._handler)

    def redirect(self, url: str | None = None, status: int = 302) -> str | None:
        """Set `location` and `status`; without a URL, return `location`. As in Plack, and unlike
        `tornado.web.RequestHandler.redirect`, this does not finish the answer: a body, headers and
        cookies may follow.
        """
        if url is None:
            return self.location
        self.location, self.status = url, status
        # Return None: a handler's method may return this value, and Tornado awaits any other.
        return None
