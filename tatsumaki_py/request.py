"""The request that a handler gets: Tornado's request with Tatsumaki's names added.

Rules:
1. None of Tornado's names is replaced: `path`, `uri`, `headers`, `cookies` and so on keep Tornado's
   meaning.
2. No computed value is stored, because thousands of requests may wait.

Source: ``Tatsumaki::Request``, ``Plack::Request``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar, overload

from tornado.httputil import HTTPFile, HTTPServerRequest

from tatsumaki_py import form
from tatsumaki_py.content_type import media_type
from tatsumaki_py.error import MissingParameter
from tatsumaki_py.private_query import without_secrets
from tatsumaki_py.psgi import environment, path_info

__all__ = ["MultiValue", "Request"]

# The parameters that carry a cursor. The libraries event-source-polyfill and amvtek/EventSource
# append the first two to the page's URL, which may contain an older cursor. Pages that were written
# for Mercure and other servers use the last four.
_CURSORS = (
    "lastEventId",
    "evs_last_event_id",
    "last_event_id",
    "lastEventID",
    "Last-Event-ID",
    "Last-Event-Id",
    "last-event-id",
)
# The most characters of a cursor. A cursor of 200 channels has fewer.
_MAX_CURSOR = 8192

_Value = TypeVar("_Value")
_Default = TypeVar("_Default")


class MultiValue(Mapping[str, _Value], Generic[_Value]):
    """A read-only mapping in which a name may have several values: ``m[name]`` is the last value,
    `get_all` returns all of them.

    If the name is missing, ``m[name]`` raises `MissingParameter`, which is answered with 400
    "missing parameter: NAME" and is also a `KeyError`.

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
        """A list of all values of `name` in the order in which they were sent, perhaps empty."""
        return list(self._values.get(name, ()))


class _Reading(Generic[_Value]):
    """A property that a program may hide by setting an attribute of the same name, because Tornado
    programs may keep their own attributes on a request.
    """

    def __init__(self, read: Callable[[Any], _Value]) -> None:
        self._read = read
        self.__doc__ = read.__doc__

    @overload
    def __get__(self, request: None, owner: type[Request]) -> _Reading[_Value]: ...
    @overload
    def __get__(self, request: Request, owner: type[Request]) -> _Value: ...
    def __get__(self, request: Request | None, owner: type[Request]) -> Any:
        return self if request is None else self._read(request)


class Request(HTTPServerRequest):
    """A `tornado.httputil.HTTPServerRequest` that also has Tatsumaki's names.

    `method`, `path`, `headers`, `cookies`, `body` and the rest are Tornado's.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._start_time = time.monotonic()

    @classmethod
    def adopt(cls, request: HTTPServerRequest) -> None:
        """Turn `request`, of Tornado's class or a subclass of it, into a `Request`, in place."""
        kind = type(request)
        if not issubclass(kind, cls):
            # Convert the wall-clock time in place: another attribute would cost memory.
            request._start_time += time.monotonic() - time.time()
            request.__class__ = cls if kind is HTTPServerRequest else _mixed(kind)

    def __repr__(self) -> str:
        # Leave out secrets, because Tornado logs this with an exception.
        fields = ("protocol", "host", "method", "uri", "version", "remote_ip")
        values = {name: getattr(self, name) for name in fields}
        values["uri"] = without_secrets(str(self.uri))
        shown = ", ".join(f"{name}={value!r}" for name, value in values.items())
        return f"{type(self).__name__}({shown})"

    def request_time(self) -> float:
        """Seconds since the request arrived, by a monotonic clock."""
        return time.monotonic() - self._start_time

    def slim(self) -> None:
        """Share equal values and clear a cache, because thousands of requests may wait."""
        if not self.body_arguments:
            self.query_arguments = self.arguments
        # Tornado can rebuild this cache from the lists of values.
        self.headers._combined_cache.clear()

    @property
    def media_type(self) -> str:
        """The media type of the body, in lower case and without parameters; "" if the client sent
        none.
        """
        return media_type(self.headers.get("Content-Type", ""))

    @property
    def query_parameters(self) -> MultiValue[str]:
        """The fields of the query, decoded like `parameters`."""
        return MultiValue(_decoded(self.query_arguments, _field))

    @property
    def body_parameters(self) -> MultiValue[str]:
        """The fields of the form in the body, decoded like `parameters`."""
        return MultiValue(_decoded(self.body_arguments, self._body_field))

    @property
    def parameters(self) -> MultiValue[str]:
        """The fields of the query, followed by those of the form in the body, decoded as UTF-8.
        Invalid bytes become U+FFFD, and nothing is stripped.

        >>> from tornado.httputil import RequestStartLine
        >>> from tornado.httputil import HTTPHeaders
        >>> line = RequestStartLine("GET", "/?a=1&a=2&b=caf%C3%A9", "HTTP/1.1")
        >>> request = Request(start_line=line, headers=HTTPHeaders({"Host": "localhost"}))
        >>> request.parameters["a"], request.parameters.get_all("a"), request.parameters["b"]
        ('2', ['1', '2'], 'café')
        """
        fields = _decoded(self.query_arguments, _field)
        for name, values in _decoded(self.body_arguments, self._body_field).items():
            fields.setdefault(name, []).extend(values)
        return MultiValue(fields)

    @overload
    def param(self) -> list[str]: ...
    @overload
    def param(self, name: str) -> str | None: ...
    @overload
    def param(self, name: str, default: _Default) -> str | _Default: ...
    def param(self, name: str | None = None, default: object = None) -> object:
        """The last value of a field of the query or the form, as in `parameters`; ``default`` if it
        was not sent. Without a name, the names of all fields.
        """
        if name is None:
            return list(self.parameters)
        key = name
        if not name.isascii():
            if "\ufffd" in name:
                # U+FFFD stands for any invalid byte, so there is no single key to look up.
                return self.parameters.get(name, default)
            # Tornado decodes names as Latin-1.
            key = name.encode("utf-8", "replace").decode("latin-1")
        values = self.query_arguments.get(key)
        if self.body_arguments:
            own = name if self.media_type == form.MULTIPART else key
            values = self.body_arguments.get(own) or values
        return _text(values[-1]) if values else default

    @property
    def address(self) -> str | None:
        """The address of the client (`remote_ip`; behind a proxy, this needs Tornado's
        ``xheaders``).
        """
        return self.remote_ip

    @property
    def uploads(self) -> MultiValue[HTTPFile]:
        """The files of a multipart form by field name, each with ``filename``,
        ``content_type`` and ``body`` (bytes).
        """
        return MultiValue(self.files)

    @overload
    def upload(self) -> list[str]: ...
    @overload
    def upload(self, name: str) -> HTTPFile | None: ...
    def upload(self, name: str | None = None) -> list[str] | HTTPFile | None:
        """The last file of a field; None if there is none. Without a name, the names of all fields
        with files.
        """
        return list(self.uploads) if name is None else self.uploads.get(name)

    def header(self, name: str) -> str | None:
        """A header; None if it was not sent. `name` is case-insensitive."""
        return self.headers.get(name)

    @_Reading
    def user_agent(self) -> str | None:
        """The header User-Agent."""
        return self.headers.get("User-Agent")

    @_Reading
    def referer(self) -> str | None:
        """The header Referer."""
        return self.headers.get("Referer")

    @_Reading
    def content_type(self) -> str | None:
        """The header Content-Type as it was sent; see also `media_type`."""
        return self.headers.get("Content-Type")

    @_Reading
    def content_length(self) -> int | None:
        """The header Content-Length; None if there is no body or a chunked one."""
        length = self.headers.get("Content-Length")
        return None if length is None else int(length)

    @_Reading
    def content(self) -> bytes:
        """The body, not decoded; Tornado's `body`."""
        return self.body

    raw_body = content

    @_Reading
    def path_info(self) -> str:
        """The path, percent-decoded as UTF-8. (`path` is as it was sent.)"""
        return path_info(self)

    @_Reading
    def query_string(self) -> str:
        """The query, not decoded; Tornado's `query`."""
        return self.query

    @_Reading
    def request_uri(self) -> str | None:
        """Path and query, as they were sent; Tornado's `uri`."""
        return self.uri

    @_Reading
    def scheme(self) -> str:
        """``http`` or ``https``; Tornado's `protocol` (behind a proxy, this needs ``xheaders``)."""
        return self.protocol

    @_Reading
    def secure(self) -> bool:
        """Whether the client used https."""
        return self.protocol == "https"

    @_Reading
    def env(self) -> Mapping[str, Any]:
        """A new read-only mapping of the request by PSGI's keys (``env["HTTP_USER_AGENT"]``)."""
        return environment(self)

    @property
    def last_event_id(self) -> str | None:
        """The cursor of a client that reconnects: the header ``Last-Event-ID`` (WHATWG HTML 9.2)
        or, without it, the parameter ``last_event_id`` or another name that clients use for it.
        None if the client sent no cursor or an empty one.
        """
        cursor = self.headers.get("Last-Event-ID")
        if not cursor and not self.arguments.keys().isdisjoint(_CURSORS):
            cursor = next(filter(None, map(self.param, _CURSORS)), None)
        return cursor[:_MAX_CURSOR] if cursor else None

    @property
    def knows_cursors(self) -> bool:
        """Whether the client sent a cursor, even an empty one."""
        return "Last-Event-ID" in self.headers or not self.arguments.keys().isdisjoint(_CURSORS)

    def _body_field(self, name: str) -> str:
        """The name of a field of the form, from Tornado's name for it."""
        # Tornado decodes the names of a multipart form as UTF-8, all others as Latin-1.
        return name if self.media_type == form.MULTIPART else _field(name)

    def _parse_body(self) -> None:
        """Read the form in the body. Tornado calls this before the handler's method.

        Raises `Error.HTTP` as `tatsumaki_py.form.parse` does. Tornado's own method is
        case-sensitive, and does not read the type `Multipart/Form-Data`.
        """
        if "Content-Type" not in self.headers:
            return
        fields, files = form.parse(self.headers, self.body)
        self.body_arguments.update(fields)
        self.files.update(files)
        for name, values in fields.items():
            self.arguments.setdefault(name, []).extend(values)


_mixed_classes: dict[type[HTTPServerRequest], type[Request]] = {}


def _mixed(theirs: type[HTTPServerRequest]) -> type[Request]:
    if theirs not in _mixed_classes:
        _mixed_classes[theirs] = type(theirs.__name__, (Request, theirs), {})
    return _mixed_classes[theirs]


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _field(name: str) -> str:
    # Tornado decodes the names of a query, and of a urlencoded form, as Latin-1.
    return name if name.isascii() else _text(name.encode("latin-1"))


def _decoded(
    arguments: Mapping[str, list[bytes]], field: Callable[[str], str]
) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for name, values in arguments.items():
        fields.setdefault(field(name), []).extend(map(_text, values))
    return fields
