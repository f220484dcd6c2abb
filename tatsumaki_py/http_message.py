"""The messages of the HTTP client: what a request is made of, where a redirect leads, the response.

Rules of this file: it touches no socket and no loop, and what it lets through can inject no header.

Source: ``HTTP::Response``, ``HTTP::Request::Common``, RFC 9110 sections 5, 9.1 and 15.4.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlencode, urljoin, urlsplit

from tornado.httpclient import HTTPRequest
from tornado.httputil import HTTPHeaders

from tatsumaki_py.charset import codec

__all__ = [
    "Body",
    "HTTPResponse",
    "Headers",
    "build_request",
    "complete",
    "header_fields",
    "redirected",
    "split_url",
]

Headers = Mapping[str, str | float] | Iterable[tuple[str, str | float]]
Body = str | bytes | Mapping[str, object] | Iterable[tuple[str, object]]

# What a GET that was a POST must not say of a body, and what is meant for the first host only.
BODY_HEADERS = ("Content-Type", "Content-Encoding", "Content-Language", "Content-Length")
PRIVATE_HEADERS = ("Authorization", "Cookie", "Proxy-Authorization", "Referer")

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
URL_CHARACTERS = "".join(map(chr, range(0x21, 0x7F)))


@dataclass(frozen=True, slots=True)
class HTTPResponse:
    """What became of a request.

    Attributes:
        code: status of the answer, or 595 (no connection: refused, unknown host), 596 (no answer:
            closed, timed out, garbage), 597 (half an answer, too large a one), 599 (bad URL, too
            many redirects, headers over 64 KiB).
        message: the reason phrase, or what went wrong.
        url: where the answer came from, after redirects; without user and password.
        headers: `tornado.httputil.HTTPHeaders`; ``headers.get_list("Set-Cookie")`` has each one.
        content: the body, gunzipped; b"" after HEAD and where there is no answer.

    >>> refused = HTTPResponse(595, "Connection refused", "http://127.0.0.1:1/")
    >>> refused.is_error, refused.status_line, refused.header("Content-Type")
    (True, '595 Connection refused', None)
    """

    code: int
    message: str
    url: str
    headers: HTTPHeaders = field(default_factory=HTTPHeaders, repr=False)
    content: bytes = field(default=b"", repr=False)

    @property
    def is_success(self) -> bool:
        """Whether the code is 2xx."""
        return 200 <= self.code <= 299

    @property
    def is_error(self) -> bool:
        """Whether the code is 4xx or 5xx."""
        return 400 <= self.code <= 599

    @property
    def status_line(self) -> str:
        """Code and message: "200 OK", "595 Connection refused"."""
        return f"{self.code} {self.message}"

    @property
    def decoded_content(self) -> str:
        """The content as text, by the charset of Content-Type, else as UTF-8.

        Bytes that are not valid become U+FFFD; a charset that Python does not know counts as none.
        """
        content_type = self.header("Content-Type") or ""
        charset = re.search(r";\s*charset=[\"']?([\w.:-]+)", content_type, re.ASCII | re.IGNORECASE)
        name = codec(charset[1]) if charset else None
        return self.content.decode(name or "utf-8", "replace")

    def header(self, name: str) -> str | None:
        """The header, repeated ones joined by ", "; None if there is none. The name in any case."""
        values = self.headers.get_list(name)
        return ", ".join(values) if values else None


def build_request(method: str, url: str, body: Body | None, headers: Headers) -> HTTPRequest:
    """A request with a form, a raw body or none; raises as `HTTPClient` says."""
    return HTTPRequest(url, method, header_fields(headers), _encode(body))


def header_fields(headers: Headers) -> HTTPHeaders:
    """The headers as Tornado keeps them, if they can be sent."""
    if isinstance(headers, HTTPHeaders):
        headers = headers.get_all()
    result = HTTPHeaders()
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        if not isinstance(value, (str, int, float)):
            raise TypeError(f"header {name!r} takes a str or a number, not {type(value).__name__}")
        if not TOKEN.fullmatch(name):
            raise ValueError(f"not a header name: {name!r}")
        # Without the value, which may be a secret.
        if not FIELD_VALUE.fullmatch(str(value)):
            raise ValueError(f"header {name!r} takes Latin-1 without control characters")
        result.add(name, str(value))
    return result


def _encode(body: Body | None) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    if isinstance(body, str):
        return body.encode()
    fields = list(body.items() if isinstance(body, Mapping) else body)
    empty = [name for name, value in fields if value is None]
    if empty:
        raise ValueError(f"form field {empty[0]!r} is None")
    return urlencode(fields, doseq=True).encode()


def complete(request: HTTPRequest, agent: str) -> None:
    """Add what a request did not say, take away what is not for it to say."""
    if not isinstance(request.url, str):
        raise TypeError(f"the URL of a request must be a str, not {request.url!r}")
    if not TOKEN.fullmatch(request.method):
        raise ValueError(f"not an HTTP method: {request.method!r}")
    headers = request.headers
    # Tornado says how long a body is; said twice, it could be said differently.
    headers.pop("Transfer-Encoding", None)
    if request.body_producer is None:
        headers.pop("Content-Length", None)
        if request.body is None and request.method in ("POST", "PUT", "PATCH"):
            request.body = b""
        if request.body is not None:
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
    agent = headers.pop("User-Agent", agent)
    request.user_agent = request.user_agent or agent


def split_url(url: str) -> tuple[str, str | None, str]:
    """The URL as it is sent (no fragment, user or password), the user and the password.

    Raises:
        ValueError: it cannot be sent; the message says why, for the status line.
    """
    # Before urlsplit, which drops some of these silently.
    if re.search(r"[\x00-\x20\x7f]", url):
        raise ValueError("Bad URL: white space or control character")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ValueError(f"Bad URL: {error}") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError("Only http and https URL schemes supported")
    if not host or not host.isascii():
        raise ValueError("Bad URL: host is not ASCII" if host else "Bad URL: no host")
    netloc = (f"[{host}]" if ":" in host else host) + (f":{port}" if port is not None else "")
    path = quote(parts.path + (f"?{parts.query}" if parts.query else ""), URL_CHARACTERS)
    user = None if parts.username is None else unquote(parts.username)
    return f"{parts.scheme}://{netloc}{path or '/'}", user, unquote(parts.password or "")


def redirected(request: HTTPRequest, code: int, location: str) -> HTTPRequest:
    """The request that a redirect asks for.

    Raises:
        ValueError: it leads to no URL that can be asked; see `split_url`.
    """
    result = copy.copy(request)
    # Header bytes reach us as Latin-1.
    target = urljoin(request.url, quote(location, URL_CHARACTERS, "latin-1", "replace"))
    result.url, _, _ = split_url(target)
    result.headers = request.headers.copy()
    result.headers.pop("Host", None)
    if (code == 303 and request.method != "HEAD") or (code < 303 and request.method == "POST"):
        result.method = "GET"
        result.body = result.body_producer = None  # type: ignore[assignment]
        for name in BODY_HEADERS:
            result.headers.pop(name, None)
    if _origin(result.url) != _origin(request.url):
        result.auth_username = result.auth_password = None
        for name in PRIVATE_HEADERS:
            result.headers.pop(name, None)
    return result


def _origin(url: str) -> tuple[str, str | None, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}[parts.scheme]
