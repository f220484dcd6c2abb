"""Does what Tornado does for each answer, with the same result but less work.

Uses names that Tornado does not document: `_as_list`, `_combined_cache`,
`_headers`, `_reason`, `_status_code`, `_write_buffer` (``t/handler/test_tornado_contract.py``).
"""

from __future__ import annotations

import time

import tornado
import tornado.web
from tornado.httputil import HTTPHeaders, format_timestamp

__all__ = ["LeanHandler"]

_SERVER = f"TornadoServer/{tornado.version}"


class _Date:
    """Formats the header Date, once per second."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second, self._text = 0, ""

    def now(self) -> str:
        second = int(time.time())
        if second != self._second:
            self._second, self._text = second, format_timestamp(second)
        return self._text


_DATE = _Date()


class LeanHandler(tornado.web.RequestHandler):
    """A `tornado.web.RequestHandler` that begins an answer quickly."""

    def clear(self) -> None:
        """See `tornado.web.RequestHandler.clear`."""
        # The constructor of the headers would take longer than all of this.
        self._headers = headers = HTTPHeaders.__new__(HTTPHeaders)
        headers._combined_cache = {}
        headers._as_list = {
            "Server": [_SERVER],
            "Content-Type": ["text/html; charset=UTF-8"],
            "Date": [_DATE.now()],
        }
        self.set_default_headers()
        self._write_buffer = []
        self._status_code, self._reason = 200, "OK"

    def check_etag_header(self) -> bool:
        """See `tornado.web.RequestHandler.check_etag_header`."""
        return "If-None-Match" in self.request.headers and super().check_etag_header()
