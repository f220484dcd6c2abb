"""The common part of blocking HTTP requests, for programs without an event loop.

Rules:
1. No error text contains the user or the password of a URL, or the value of a header.
2. In an error text, text from the other server is one line of bounded length, without control
   characters.
"""

from __future__ import annotations

import socket
import ssl
from base64 import b64encode
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, responses
from urllib.parse import urlsplit, urlunsplit

from tatsumaki_py.content_type import media_type
from tatsumaki_py.control_characters import escape_controls
from tatsumaki_py.http_client_request import header_fields, split_url

__all__ = ["FAULTS", "Target", "explained", "refusal", "retry_after"]

FAULTS = (OSError, HTTPException)
"""The exceptions of a request without a complete answer."""
CONNECT = 10.0
"""The most seconds for connecting, and again for the TLS handshake."""
MAX_TEXT = 500
"""The most characters of an answer that an error shows."""
MAX_ERROR = 16 * 1024
"""The most bytes of an answer that are read for such an error."""


class Target:
    """The target of requests: the parts of a URL, and the headers of each request.

    Raises `ValueError` for a URL or header that cannot be sent, `TypeError` for a value of a header
    that is neither a str nor a number.
    """

    def __init__(self, url: str, headers: Mapping[str, str | float]) -> None:
        self.headers = dict(header_fields(headers))
        sent, user, password = split_url(url)
        if user is not None:
            login = b64encode(f"{user}:{password}".encode()).decode()
            self.headers.setdefault("Authorization", f"Basic {login}")
        parts = urlsplit(sent)
        self._tls = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self.path = urlunsplit(("", "", parts.path, parts.query, ""))
        self.origin = f"{parts.scheme}://{parts.netloc}"
        """Scheme, host and port, for messages."""

    def connection(self, timeout: float) -> HTTPConnection:
        """A connection that connects with its first request. `timeout` is in seconds and limits
        each wait; connecting is limited by `timeout` or `CONNECT`, whichever is shorter.
        """
        assert self._host is not None
        kind = _TLSConnection if self._tls else _Connection
        return kind(self._host, self._port, timeout=timeout)


class _HandshakeError(OSError):
    """The TLS handshake failed, so no request was sent. The text is one line."""


class _Connection(HTTPConnection):
    """Connects within `CONNECT` seconds."""

    timeout: float

    def connect(self) -> None:
        timeout, self.timeout = self.timeout, min(self.timeout, CONNECT)
        try:
            super().connect()
        finally:
            self.timeout = timeout
        self.sock.settimeout(timeout)


class _TLSConnection(_Connection, HTTPSConnection):
    """If the TLS handshake fails, names it and the server in the error."""

    def connect(self) -> None:
        try:
            super().connect()
        except OSError as error:
            if self.sock is None:
                raise
            host = f"[{self.host}]" if ":" in self.host else self.host
            text = f"TLS with {host}:{self.port} failed: {explained(error)}"
            if not isinstance(error, ssl.SSLCertVerificationError):
                text += " (perhaps the server does not speak https)"
            raise _HandshakeError(text) from error


def explained(error: Exception) -> str:
    """The reason why there is no answer, in one line.

    >>> explained(ConnectionRefusedError(111, "Connection refused"))
    'Connection refused'
    """
    match error:
        case _HandshakeError():
            return str(error)
        case TimeoutError():
            return "no answer in time"
        case ssl.SSLCertVerificationError():
            return f"the certificate is not valid: {escape_controls(error.verify_message)}"
        case ssl.SSLError() if error.reason:
            return error.reason.replace("_", " ").lower()
        case socket.gaierror():
            return "the name of the host is not known"
        case OSError() if error.strerror:
            return escape_controls(error.strerror)
        case OSError():
            return "the connection was closed"
    return "the answer is incomplete, or is not HTTP"


def refusal(response: HTTPResponse) -> str:
    """The text of an error answer; without text, its status phrase."""
    text = ""
    if media_type(response.getheader("Content-Type", "")) == "text/plain":
        text = response.read(MAX_ERROR).decode("utf-8", "replace").strip()
    text = text or responses.get(response.status, "Unknown")
    location = response.getheader("Location")
    if location is not None and 300 <= response.status < 400:
        text = f"{text}: {location}"
    return escape_controls(text[:MAX_TEXT])


def retry_after(response: HTTPResponse) -> int:
    """The seconds in the header Retry-After; 0 if it is missing or a date."""
    value = (response.getheader("Retry-After") or "").strip()
    return int(value) if value.isascii() and value.isdigit() and len(value) < 7 else 0
