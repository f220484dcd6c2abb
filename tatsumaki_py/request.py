"""What a handler reads of a request.

Source: ``Tatsumaki::Request``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar, overload

from tornado.httputil import HTTPFile, HTTPServerRequest

from tatsumaki_py.error import MissingParameter

__all__ = ["MultiValue", "Request"]

_Value = TypeVar("_Value")
_Default = TypeVar("_Default")


class MultiValue(Mapping[str, _Value], Generic[_Value]):
    """A read-only mapping in which a name may have several values: ``m[name]`` is the last,
    `get_all` gives them all.

    ``m[name]`` of a name that is not there raises `MissingParameter`, which a client sees as 400
    "missing parameter: NAME" and which is also a `KeyError`.

    Source: ``Hash::MultiValue``.
    """

    def __init__(self, values: Mapping[str, list[_Value]]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> _Value:
        try:
            return self._values[name][-1]
        except KeyError:
            raise MissingParameter(name) from None

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict(self._values)!r})"

    def get_all(self, name: str) -> list[_Value]:
        """All values of `name`, in the order they were sent; none is an empty list."""
        return list(self._values.get(name, ()))


class Request(HTTPServerRequest):
    """A `tornado.httputil.HTTPServerRequest` that also knows Tatsumaki's names.

    `method`, `path`, `headers`, `cookies`, `body` and the rest are Tornado's.
    """

    @classmethod
    def adopt(cls, request: HTTPServerRequest) -> None:
        """Make a request of Tornado's, or of a class made from it, one of these; in place."""
        kind = type(request)
        if not issubclass(kind, cls):
            request.__class__ = cls if kind is HTTPServerRequest else _mixed(kind)

    def slim(self) -> None:
        """Keep equal things once: thousands of requests may wait."""
        if not self.body_arguments:
            self.query_arguments = self.arguments

    @property
    def parameters(self) -> MultiValue[str]:
        """The fields of the query, then of the form in the body, as text: UTF-8, nothing stripped,
        bad bytes replaced by U+FFFD.

        >>> from tornado.httputil import RequestStartLine
        >>> from tornado.httputil import HTTPHeaders
        >>> line = RequestStartLine("GET", "/?a=1&a=2&b=caf%C3%A9", "HTTP/1.1")
        >>> request = Request(start_line=line, headers=HTTPHeaders({"Host": "localhost"}))
        >>> request.parameters["a"], request.parameters.get_all("a"), request.parameters["b"]
        ('2', ['1', '2'], 'café')
        """
        fields: dict[str, list[str]] = {}
        for name, values in self.arguments.items():
            fields.setdefault(_field(name), []).extend(map(_text, values))
        return MultiValue(fields)

    @overload
    def param(self, name: str) -> str | None: ...
    @overload
    def param(self, name: str, default: _Default) -> str | _Default: ...
    def param(self, name: str, default: object = None) -> object:
        """The last value of a field of the query or the form, as in `parameters`; `default` if it
        was not sent.
        """
        # The second is a field of a multipart form, so it was sent after those of the query.
        key = name.encode("utf-8", "replace").decode("latin-1")
        values = self.arguments.get(name) or self.arguments.get(key)
        return _text(values[-1]) if values else default

    @property
    def address(self) -> str | None:
        """The address of the client (`remote_ip`: behind a proxy only with Tornado's
        ``xheaders``).
        """
        return self.remote_ip

    @property
    def uploads(self) -> MultiValue[HTTPFile]:
        """The files of a multipart form by field name, each with `filename`, `content_type` and
        `body` (bytes).
        """
        return MultiValue(self.files)

    @property
    def last_event_id(self) -> str | None:
        """The cursor of a client that comes back: header ``Last-Event-ID`` (WHATWG HTML 9.2), else
        parameter ``last_event_id``.
        """
        return self.headers.get("Last-Event-ID") or self.param("last_event_id") or None


_mixed_classes: dict[type[HTTPServerRequest], type[Request]] = {}


def _mixed(theirs: type[HTTPServerRequest]) -> type[Request]:
    if theirs not in _mixed_classes:
        _mixed_classes[theirs] = type(theirs.__name__, (Request, theirs), {})
    return _mixed_classes[theirs]


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _field(name: str) -> str:
    # Tornado decodes the names of a query and of a urlencoded form as Latin-1, those of a multipart
    # form as UTF-8.
    try:
        return name.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return name
