"""The requests of the HTTP client: builds them, and follows redirects.

Rules of this file: its functions use no socket and no loop, and `build_request` adds no header.

Source: ``HTTP::Request::Common``, RFC 9110 sections 5, 9.1 and 15.4.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote, urlencode, urljoin, urlsplit, urlunsplit

from tornado.httpclient import HTTPRequest
from tornado.httputil import HTTPHeaders, HTTPInputError

from tatsumaki_py.http_token import check_header_name, is_token
from tatsumaki_py.origin import DEFAULT_PORTS, host_and_port

__all__ = [
    "Body",
    "Headers",
    "build_request",
    "complete",
    "header_fields",
    "redirected",
    "split_url",
]

Headers = Mapping[str, str | float] | Iterable[tuple[str, str | float]]
Body = str | bytes | Mapping[str, object] | Iterable[tuple[str, object]]

# Headers that describe a body: a redirect that turns a POST into a GET drops them.
BODY_HEADERS = ("Content-Type", "Content-Encoding", "Content-Language", "Content-Length")
# Headers for one origin: a redirect to another origin drops them.
PRIVATE_HEADERS = ("Authorization", "Cookie", "Proxy-Authorization", "Referer")

URL_CHARACTERS = "".join(map(chr, range(0x21, 0x7F)))


def build_request(method: str, url: str, body: Body | None, headers: Headers) -> HTTPRequest:
    """A request with a form, a raw body or no body. Raises the errors of `HTTPClient`."""
    return HTTPRequest(url, method, header_fields(headers), _encode(body))


def header_fields(headers: Headers) -> HTTPHeaders:
    """The headers as Tornado takes them.

    Raises:
        TypeError, ValueError: a header that cannot be sent.
    """
    if isinstance(headers, HTTPHeaders):
        headers = headers.get_all()
    result = HTTPHeaders()
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        if not isinstance(value, (str, int, float)):
            raise TypeError(f"header {name!r} takes a str or a number, not {type(value).__name__}")
        check_header_name(name)
        try:
            result.add(name, str(value).strip(" \t"))
        except HTTPInputError:
            # Replace Tornado's message, which contains the value: it may be a secret.
            message = f"header {name!r} takes Latin-1 without control characters"
            raise ValueError(message) from None
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
    """Add the headers that a request lacks, and remove those that Tornado sets itself."""
    if not isinstance(request.url, str):
        raise TypeError(f"the URL of a request must be a str, not {request.url!r}")
    if not is_token(request.method):
        raise ValueError(f"not an HTTP method: {request.method!r}")
    headers = request.headers
    # Tornado sets the length of the body itself; a second length could differ.
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
        ValueError: the URL cannot be sent; the message says why, for the status line.
    """
    # Check before urlsplit, which silently drops some of these characters.
    if re.search(r"[\x00-\x20\x7f]", url):
        raise ValueError("Bad URL: white space or control character")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"Bad URL: {error}") from None
    if parts.scheme not in DEFAULT_PORTS:
        raise ValueError("Only http and https URL schemes supported")
    if not host or not host.isascii():
        raise ValueError("Bad URL: host is not ASCII" if host else "Bad URL: no host")
    # Normalize the host, so that a redirect to the same origin is recognized.
    netloc = host_and_port(parts.scheme, parts.netloc.rpartition("@")[2].removesuffix(":"))
    sent = urlunsplit((parts.scheme, netloc, parts.path or "/", parts.query, ""))
    user = None if parts.username is None else unquote(parts.username)
    return quote(sent, URL_CHARACTERS), user, unquote(parts.password or "")


def redirected(request: HTTPRequest, code: int, location: str) -> HTTPRequest:
    """The request that a redirect asks for.

    Raises:
        ValueError: the redirect leads to a URL that cannot be requested; see `split_url`.
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
    # Scheme, host and port.
    if urlsplit(result.url)[:2] != urlsplit(request.url)[:2]:
        result.auth_username = result.auth_password = None
        for name in PRIVATE_HEADERS:
            result.headers.pop(name, None)
    return result
