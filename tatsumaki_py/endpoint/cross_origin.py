"""Lets pages from other origins use a handler.

Rules:
1. An origin that is not allowed gets no CORS header, so the browser hides the answer from the page.
2. "*" is for public handlers: it is never combined with credentials.
3. Every answer to an allowed origin has the CORS headers, even an error, so that the page can read
   the reason.
4. A preflight carries no credentials, so it is allowed even if `prepare` requires credentials. The
   request that follows is refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, ClassVar

from tatsumaki_py.handler import Handler
from tatsumaki_py.http_token import is_token
from tatsumaki_py.origin import host_and_port

__all__ = ["CrossOriginHandler"]

# Seconds for which a browser may cache the answer to a preflight.
_MAX_AGE = 600
_REQUEST_HEADERS = (
    "Authorization",
    "Cache-Control",
    "Content-Type",
    "Event-Key",
    "Idempotency-Key",
    "Last-Event-ID",
    "X-Api-Key",
    "X-Requested-With",
    "X-XSRFToken",
)
# Other headers are allowed when a preflight asks for them, within these limits.
_MAX_ASKED = 50
_MAX_NAME = 100
# Headers that a proxy sets to the address or the user of a client. A page may never send them.
_PROXY = re.compile(r"forwarded|x-forwarded-.*|x-real-ip|x-scheme|(x-)?remote-user", re.IGNORECASE)


class CrossOriginHandler(Handler):
    """A `Handler` that answers CORS (WHATWG Fetch 3.3), even in its errors."""

    allowed_origins: ClassVar[Collection[str]] = ()
    """Origins whose pages may read the answers, such as ``https://www.example.com``, in addition to
    the setting ``trusted_origins``; "*" for all.
    """
    allow_credentials: ClassVar[bool]
    """Whether these pages may act as the user, with cookies. Not allowed with "*". The default is
    the value of a class further along the MRO, such as Jupyter's handlers, otherwise False.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if isinstance(cls.allowed_origins, str):
            raise TypeError(
                f"allowed_origins must be a list of origins, not {cls.allowed_origins!r}"
            )
        for origin in cls.allowed_origins:
            _check(origin)
        credentials = getattr(cls, "allow_credentials", False)
        if credentials and not isinstance(credentials, property) and "*" in cls.allowed_origins:
            raise TypeError(
                'allow_credentials with "*" would let any page act as your users; list the origins'
            )

    def check_trusted_origin(self, origin: str) -> bool:
        """Whether pages of `origin` may send requests that change something, and open WebSockets:
        True if the origin is listed, or if the handler is public and the request carries no
        credentials. See `tornado.web.RequestHandler.check_trusted_origin`.
        """
        return self._listed(origin) or self._public()

    def _listed(self, origin: str) -> bool:
        return origin in self.allowed_origins or origin in self.settings.get("trusted_origins", ())

    def _public(self) -> bool:
        headers = self.request.headers
        anonymous = "Cookie" not in headers and "Authorization" not in headers
        return anonymous and "*" in self.allowed_origins

    def _trusts(self, origin: str) -> bool:
        if not origin or origin == "*":
            return False
        return self._listed(origin) or (not self._public() and self.check_trusted_origin(origin))

    def clear(self) -> None:
        """See `tornado.web.RequestHandler.clear`. Sets the CORS headers again."""
        super().clear()
        public = "*" in self.allowed_origins
        asked, origin = self.request.headers, ""
        if "Origin" in asked:
            origin = asked["Origin"]
        trusted = bool(origin) and self._trusts(origin)
        if not public or trusted:
            headers = self._headers
            if "Vary" in headers:
                headers.add("Vary", "Origin")
            else:
                headers["Vary"] = "Origin"
        if not origin or not (public or trusted):
            return
        self.set_header("Access-Control-Allow-Origin", origin if trusted else "*")
        self.set_header("Access-Control-Expose-Headers", "Last-Event-ID, Retry-After")
        if trusted and getattr(self, "allow_credentials", False):
            self.set_header("Access-Control-Allow-Credentials", "true")

    def options(self, *args: Any, **kwargs: Any) -> None:
        """Answer a preflight, in which a browser asks for permission to send a page's request."""
        allowed = ", ".join(self._allowed())
        self.set_header("Allow", allowed)
        if self.response.header("Access-Control-Allow-Origin") is not None:
            self.set_header("Access-Control-Allow-Methods", allowed)
            self.set_header("Access-Control-Allow-Headers", ", ".join(self._allowed_headers()))
            self.set_header("Access-Control-Max-Age", _MAX_AGE)
        self.set_status(204)
        self.finish()

    def _allowed_headers(self) -> list[str]:
        asked = self.request.headers.get("Access-Control-Request-Headers", "")
        names = [name.strip() for name in asked.split(",", _MAX_ASKED)[:_MAX_ASKED]]
        known = {name.lower() for name in _REQUEST_HEADERS}
        return [
            *_REQUEST_HEADERS,
            *(
                name
                for name in names
                if name.lower() not in known
                and len(name) <= _MAX_NAME
                and is_token(name)
                and "*" not in name  # a header is not a wildcard
                and not _PROXY.fullmatch(name)
            ),
        ]

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """See `tornado.web.RequestHandler.send_error`. The answer to a preflight allows the request
        instead, so that the request itself gets the error.
        """
        asked = self.request.headers
        preflight = self.request.method == "OPTIONS" and "Access-Control-Request-Method" in asked
        if preflight and status_code < 500 and not self._headers_written:
            self.clear()
            if self.response.header("Access-Control-Allow-Origin") is not None:
                CrossOriginHandler.options(self)
                return
        super().send_error(status_code, **kwargs)


def _check(origin: str) -> None:
    """Raise `ValueError` for an origin that browsers do not send, because it would never match."""
    if "*" in origin and origin != "*":
        raise ValueError(
            f"allowed_origins has {origin!r}: override check_trusted_origin() for a pattern"
        )
    scheme, sign, rest = origin.lower().partition("://")
    sent = f"{scheme}{sign}{host_and_port(scheme, rest.partition('/')[0])}"
    if origin != sent:
        raise ValueError(f"allowed_origins has {origin!r}, but browsers send {sent!r}")
