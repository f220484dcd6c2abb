"""Pages of other origins that may use a handler.

Rules:
1. Who is not on the list is told nothing: it is the browser that keeps the page from the answer.
2. "*" is for what is public: it never goes with credentials.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar

from tatsumaki_py.handler import Handler

__all__ = ["CrossOriginHandler"]

# For how long a browser may remember what it asked, in seconds.
_MAX_AGE = 600
_REQUEST_HEADERS = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, X-XSRFToken"


class CrossOriginHandler(Handler):
    """A `Handler` that answers CORS (WHATWG Fetch 3.3), also with its errors."""

    allowed_origins: ClassVar[Collection[str]] = ()
    """Origins whose pages may read the answers, such as ``https://www.example.com``, beside those
    of the setting ``trusted_origins``; "*" for all.
    """
    allow_credentials: ClassVar[bool] = False
    """Whether these pages may do so in the name of the user, that is with cookies. Not with "*"."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if isinstance(cls.allowed_origins, str):
            raise TypeError(f"allowed_origins is a list of origins, not {cls.allowed_origins!r}")
        if cls.allow_credentials and "*" in cls.allowed_origins:
            raise TypeError(
                'allow_credentials with "*" would let any page act as your users; list the origins'
            )

    def check_trusted_origin(self, origin: str) -> bool:
        """Whether pages of `origin` may change things and open WebSockets: whether it is on a
        list. See `tornado.web.RequestHandler.check_trusted_origin`.
        """
        return origin in self.allowed_origins or origin in self.settings.get("trusted_origins", ())

    def clear(self) -> None:
        """See `tornado.web.RequestHandler.clear`. What CORS needs is there again."""
        super().clear()
        public = "*" in self.allowed_origins
        origin = self.request.headers.get("Origin", "")
        trusted = bool(origin) and origin != "*" and self.check_trusted_origin(origin)
        if not public or trusted:
            self.add_header("Vary", "Origin")
        if not origin or not (public or trusted):
            return
        self.set_header("Access-Control-Allow-Origin", origin if trusted else "*")
        self.set_header("Access-Control-Expose-Headers", "Last-Event-ID")
        if trusted and self.allow_credentials:
            self.set_header("Access-Control-Allow-Credentials", "true")

    def options(self, *args: Any, **kwargs: Any) -> None:
        """The question that a browser asks beforehand."""
        allowed = ", ".join(self._allowed())
        self.set_header("Allow", allowed)
        if self.response.header("Access-Control-Allow-Origin") is not None:
            self.set_header("Access-Control-Allow-Methods", allowed)
            self.set_header("Access-Control-Allow-Headers", _REQUEST_HEADERS)
            self.set_header("Access-Control-Max-Age", _MAX_AGE)
        self.set_status(204)
        self.finish()
