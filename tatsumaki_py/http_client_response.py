"""The response in which every request of the HTTP client ends.

Source: ``HTTP::Response``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tornado.httputil import HTTPHeaders

from tatsumaki_py.charset import codec
from tatsumaki_py.content_type import parameter

__all__ = ["HTTPResponse"]


@dataclass(frozen=True, slots=True)
class HTTPResponse:
    """The end of a request.

    Attributes:
        code: the status of the answer, or 595 (no connection: refused, unknown host), 596 (no
            answer: closed, timed out, garbage), 597 (an answer that broke off or is too large), 599
            (bad URL, too many redirects, headers over 64 KiB).
        message: the reason phrase, or a description of the error.
        url: the URL that answered, after redirects, without user and password.
        headers: `tornado.httputil.HTTPHeaders`; ``headers.get_list("Set-Cookie")`` has each cookie.
        content: the body, gunzipped; b"" after HEAD or without an answer.

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
        """The content as text, decoded by the charset of Content-Type, by default UTF-8.

        Invalid bytes become U+FFFD. A charset that Python does not know is ignored.
        """
        charset = parameter(self.header("Content-Type") or "", "charset")
        name = codec(charset) if charset else None
        return self.content.decode(name or "utf-8", "replace")

    def header(self, name: str) -> str | None:
        """The value of a header; None if it is missing. `name` is case-insensitive. The values of a
        repeated header are joined by ", ".
        """
        values = self.headers.get_list(name)
        return ", ".join(values) if values else None
