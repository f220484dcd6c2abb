"""The exceptions of the package.

    Error
    +-- Error.HTTP               becomes an HTTP answer (also a `tornado.web.HTTPError`)
    |   +-- MissingParameter     400, raised by ``request.parameters["x"]``
    |   +-- ServerStopping       503, raised by ``mq.publish`` when a server stops
    +-- Error.ClientDisconnect   the client has left

>>> from tatsumaki_py import Error
>>> try:
...     Error.HTTP.throw(404)
... except Error.HTTP as error:
...     print(error.code, error.message)
404 Not Found

Source: ``Tatsumaki::Error``.
"""

from __future__ import annotations

from http import HTTPStatus
from http.client import responses
from typing import Any, ClassVar, NoReturn

import tornado.web

__all__ = ["ClientDisconnect", "Error", "HTTPError", "MissingParameter", "ServerStopping"]


class Error(Exception):
    """The base of all exceptions of this package."""

    HTTP: ClassVar[type[HTTPError]]
    """An error that becomes the HTTP answer: `HTTPError`."""
    ClientDisconnect: ClassVar[type[ClientDisconnect]]
    """The client has left: `tatsumaki_py.error.ClientDisconnect`."""

    @classmethod
    def throw(cls, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise this exception: ``param or Error.HTTP.throw(400, "param needed")``."""
        raise cls(*args, **kwargs)


class HTTPError(Error, tornado.web.HTTPError):
    """An error that becomes the HTTP answer; also available as `Error.HTTP`.

    Args:
        code: HTTP status code, 200 to 999. Raises `ValueError` for anything else.
        message: text for the client, as text/plain in UTF-8; by default the status phrase. (A plain
            `tornado.web.RequestHandler` sends Tornado's HTML page for the code instead.)
        log_message: text to log at level WARNING; by default nothing is logged, as in Perl.
        retry_after: seconds after which the client may try again, for the header ``Retry-After``,
            which a `Handler` sends.

    Source: ``Tatsumaki::Error::HTTP``.
    """

    def __init__(
        self,
        code: int,
        message: str | None = None,
        *,
        log_message: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        if type(code) not in (int, HTTPStatus) or not 200 <= code <= 999:
            raise ValueError(f"Error.HTTP takes a status code from 200 to 999, not {code!r}")
        code = int(code)
        tornado.web.HTTPError.__init__(
            self, code, log_message, reason=None if code in responses else "Unknown"
        )
        self.code = code
        self.message = message or responses.get(code, "Unknown")
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.message

    def __repr__(self) -> str:
        return f"Error.HTTP({self.code}, {self.message!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        state = (self.code, self.message, self._log_message, self.retry_after)
        return _restore, (type(self), *state)


def _restore(
    cls: type[HTTPError], code: int, message: str, log_message: str | None, retry_after: int | None
) -> HTTPError:
    error = cls.__new__(cls)
    HTTPError.__init__(error, code, message, log_message=log_message, retry_after=retry_after)
    return error


class ClientDisconnect(Error):
    """The client has left; also available as `Error.ClientDisconnect`.

    `Handler.stream_write` raises this exception. The callback of a queue may also raise it; in that
    case, the queue drops the callback, and keeps the client's place for
    `MessageQueue.reconnect_time`.

    Source: ``Tatsumaki::Error::ClientDisconnect``.
    """

    def __init__(self, message: str = "Client disconnected") -> None:
        super().__init__(message)


class MissingParameter(HTTPError, KeyError):
    """400 "missing parameter: NAME": the client did not send ``request.parameters[NAME]``."""

    def __init__(self, name: str) -> None:
        HTTPError.__init__(self, 400, f"missing parameter: {name}")


class ServerStopping(HTTPError):
    """503 "the server is stopping", for events and requests that are refused or cut off."""

    def __init__(self) -> None:
        HTTPError.__init__(self, 503, "the server is stopping", retry_after=1)


Error.HTTP = HTTPError
Error.ClientDisconnect = ClientDisconnect
