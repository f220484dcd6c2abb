"""Publishing by POST requests to a `PublishHandler`.

Rules:
1. Each call has an idempotency key, so an attempt whose answer is lost can be repeated.
2. A connection belongs to one call at a time, and never to a process that was forked later.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import quote, unquote
from uuid import uuid4

from tatsumaki_py.blocking_http import FAULTS, Target, explained, refusal, retry_after
from tatsumaki_py.error import HTTPError
from tatsumaki_py.publisher.attempts import Attempts

__all__ = ["HTTPLink"]

PLACEHOLDER = "{channel}"
MAX_IDLE = 32
"""Connections that are kept for later calls."""
MAX_THREADS = 32
"""Calls that run at a time without blocking the thread of the caller."""
MAX_ANSWER = 1024 * 1024
"""Bytes of an answer that is no error."""
AGAIN = (429, 502, 503, 504)
"""Statuses after which another attempt may succeed."""


class HTTPLink:
    """Publishes at a URL. See `tatsumaki_py.publisher.Publisher` about the arguments."""

    def __init__(
        self, url: str, headers: Mapping[str, str | float], *, publish_timeout: float = 5.0
    ) -> None:
        if not 0.05 <= publish_timeout <= 300:
            raise ValueError(f"publish_timeout is 0.05 to 300 seconds, not {publish_timeout!r}")
        self._timeout = publish_timeout
        self._target = Target(url, {"User-Agent": "tatsumaki_py"} | dict(headers))
        self._target.headers["Content-Type"] = "application/json"
        self._process = os.getpid()
        self._idle: deque[HTTPConnection] = deque()
        self._threads: ThreadPoolExecutor | None = None

    def publish(self, channel: str, bodies: Sequence[bytes], key: str | None) -> list[str]:
        """Publish events that are JSON, and return their ids. 503 after `publish_timeout`."""
        return self._publish(channel, bodies, key, Attempts(self._timeout))

    def submit(self, channel: str, bodies: Sequence[bytes], key: str | None) -> Future[list[str]]:
        """As `publish`, in another thread."""
        if self._threads is None or self._process != os.getpid():
            self._forget_parent()
            self._threads = ThreadPoolExecutor(MAX_THREADS, "tatsumaki-publisher")
        return self._threads.submit(self._publish, channel, bodies, key, Attempts(self._timeout))

    def _publish(
        self, channel: str, bodies: Sequence[bytes], key: str | None, attempts: Attempts
    ) -> list[str]:
        path = self._path(channel)
        # A list, so that an event that is a list is one event.
        body = b"[%b]" % b",".join(bodies)
        headers = self._target.headers | {"Idempotency-Key": _header(key or uuid4().hex)}
        while True:
            connection, used = self._connection(attempts.left())
            try:
                response, text = self._post(connection, path, body, headers, attempts)
            except FAULTS as error:
                if used:
                    # The server may have closed all connections that were idle.
                    self._close_idle()
                else:
                    attempts.wait(explained(error))
                continue
            if 200 <= response.status < 300:
                return _ids(text, len(bodies))
            if response.status not in AGAIN:
                raise HTTPError(response.status, text)
            attempts.wait(f"{response.status} {text}", retry_after(response))

    def _path(self, channel: str) -> str:
        path = self._target.path
        if PLACEHOLDER in path:
            return path.replace(PLACEHOLDER, quote(channel, safe=""))
        if channel not in map(unquote, re.split("[/?&=]", path)):
            raise ValueError(
                f"the URL does not name the channel {channel!r}: write {PLACEHOLDER} where "
                f"{self._target.origin} has the channel's name"
            )
        return path

    def _post(
        self,
        connection: HTTPConnection,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        attempts: Attempts,
    ) -> tuple[HTTPResponse, str]:
        """The answer, and its text. Raises one of `FAULTS` if it is not whole."""
        try:
            # A server may refuse a large body before it has read it.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request("POST", path, body, headers)
            try:
                response = connection.getresponse()
                good = 200 <= response.status < 300
                text = response.read(MAX_ANSWER).decode() if good else refusal(response)
            except BaseException:
                attempts.sent = True
                raise
        except BaseException:
            connection.close()
            raise
        # A proxy that says so does not know what the server has done.
        attempts.sent |= response.status in (502, 504)
        if response.isclosed() and not response.will_close:
            self._idle.append(connection)
            if len(self._idle) > MAX_IDLE:
                self._idle.popleft().close()
        else:
            connection.close()
        return response, text

    def _connection(self, timeout: float) -> tuple[HTTPConnection, bool]:
        """A connection, and whether it was used before."""
        self._forget_parent()
        try:
            connection = self._idle.pop()
        except IndexError:
            return self._target.connection(timeout), False
        connection.timeout = timeout
        connection.sock.settimeout(timeout)
        return connection, True

    def _forget_parent(self) -> None:
        if self._process != os.getpid():
            # Its threads do not run here.
            self._threads = None
            self._close_idle()
            self._process = os.getpid()

    def close(self) -> None:
        """Close the connections that no call uses now."""
        self._forget_parent()
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False)
        self._close_idle()

    def _close_idle(self) -> None:
        while self._idle:
            # Another thread may take it.
            with contextlib.suppress(IndexError):
                self._idle.pop().close()


def _header(key: str) -> str:
    if not (key.isascii() and key.isprintable() and key == key.strip()):
        raise ValueError("over HTTP an idempotency key is printable ASCII without space around it")
    return key


def _ids(text: str, count: int) -> list[str]:
    """The ids that an answer gives."""
    try:
        ids = json.loads(text)["ids"]
    except (ValueError, LookupError, TypeError):
        ids = None
    if not isinstance(ids, list) or len(ids) != count:
        raise HTTPError(502, "the answer is not that of a PublishHandler: check the URL")
    return [str(id) for id in ids]
