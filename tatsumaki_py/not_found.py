"""The answers to requests that match no rule of an application."""

from __future__ import annotations

from typing import Any

import tornado.web
from tornado.httputil import HTTPServerRequest

from tatsumaki_py.endpoint.body_limit import UNREAD_SIZE
from tatsumaki_py.push.websocket import NEEDS_HTTP_1_1

__all__ = ["NoHandshake", "NotFound", "handshake_1_0"]


class NotFound(tornado.web.RequestHandler):
    """Answers 404 to every method."""

    max_body_size = UNREAD_SIZE

    def prepare(self) -> None:
        self.set_status(404)
        self.finish("404 Not Found")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        # Before it calls prepare(), Tornado refuses a method that it does not know.
        self.set_status(404)
        self.finish("404 Not Found")

    # This handler changes nothing, so even a forged request may get the 404.
    def check_xsrf_cookie(self) -> None:
        pass

    def check_trusted_origin(self, origin: str) -> bool:
        return True


class NoHandshake(NotFound):
    """The answer to a WebSocket handshake in HTTP/1.0, which Tornado would accept."""

    def prepare(self) -> None:
        self.set_status(400)
        self.finish(NEEDS_HTTP_1_1)


def handshake_1_0(request: HTTPServerRequest) -> bool:
    """Whether the request asks for a WebSocket in HTTP/1.0."""
    return request.version == "HTTP/1.0" and "Upgrade" in request.headers
