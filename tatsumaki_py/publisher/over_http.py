"""Publishing by POST requests to a `PublishHandler`.

Rules:
1. Each call has an idempotency key, so an attempt whose answer is lost can be repeated.
2. A connection belongs to one call at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPResponse
from threading import RLock
from urllib.parse import quote, unquote
from uuid import uuid4

from tatsumaki_py.blocking_http import FAULTS, Target, explained, refusal, retry_after
from tatsumaki_py.content_type import media_type
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

NO_ANSWER = "the answer is not that of a PublishHandler: check the URL"


class HTTPLink:
    """Publishes at a URL, from one process. See `tatsumaki_py.publisher.Publisher` about the
    arguments.
    """

    def __init__(
        self, url: str, headers: Mapping[str, str | float], *, publish_timeout: float = 5.0
    ) -> None:
        is_number = isinstance(publish_timeout, (int, float))
        if not (is_number and 0.05 <= publish_timeout <= 300):
            raise ValueError(f"publish_timeout is 0.05 to 300 seconds, not {publish_timeout!r}")
        self._timeout = publish_timeout
        self._target = Target(url, {"User-Agent": "tatsumaki_py"} | dict(headers))
        self._target.headers["Content-Type"] = "application/json"
        self._idle: deque[HTTPConnection] = deque()
        self._lock = RLock()
        self._threads: ThreadPoolExecutor | None = None

    def publish(self, channel: str, bodies: Sequence[bytes], key: str | None) -> list[str]:
        """Publish events that are JSON, and return their ids. 503 after `publish_timeout`."""
        return self._publish(channel, bodies, key, Attempts(self._timeout))

    async def apublish(self, channel: str, bodies: Sequence[bytes], key: str | None) -> list[str]:
        """As `publish`, in another thread."""
        attempts = Attempts(self._timeout)
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(MAX_THREADS, "tatsumaki-publisher")
            ids = self._threads.submit(self._publish, channel, bodies, key, attempts)
        return await asyncio.wrap_future(ids)

    def _publish(
        self, channel: str, bodies: Sequence[bytes], key: str | None, attempts: Attempts
    ) -> list[str]:
        path = self._path(channel)
        # A list, so that an event that is a list is one event.
        body = b"[%b]" % b",".join(bodies)
        headers = self._target.headers | {"Idempotency-Key": _header(key or uuid4().hex)}
        reason = "other calls took all threads"
        while True:
            connection, used = self._connection(attempts.left(reason))
            try:
                response, text = self._post(connection, path, body, headers, attempts)
            except FAULTS as error:
                reason = explained(error)
                if used:
                    # The server may have closed all connections that were idle.
                    self._close_idle()
                else:
                    attempts.wait(reason)
                continue
            if 200 <= response.status < 300:
                return _ids(text, len(bodies))
            if response.status < 200:
                raise HTTPError(502, NO_ANSWER)
            if response.status not in AGAIN:
                raise HTTPError(response.status, text)
            reason = f"{response.status} {text}"
            attempts.wait(reason, retry_after(response))

    def _path(self, channel: str) -> str:
        path = self._target.path
        if PLACEHOLDER in path:
            try:
                return path.replace(PLACEHOLDER, quote(channel, safe=""))
            except UnicodeEncodeError:
                text = f"over HTTP a channel's name is text in UTF-8, not {channel!r}"
                raise ValueError(text) from None
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
                text = _json(response) if good else refusal(response)
            except BaseException:
                attempts.sent = True
                raise
        except BaseException:
            connection.close()
            raise
        # A server that answers so may not know whether its engine accepted the events, and a proxy
        # may not know whether the server did.
        attempts.sent |= response.status in (502, 503, 504)
        if response.isclosed() and not response.will_close:
            self._idle.append(connection)
            if len(self._idle) > MAX_IDLE:
                self._idle.popleft().close()
        else:
            response.close()
            connection.close()
        return response, text

    def _connection(self, timeout: float) -> tuple[HTTPConnection, bool]:
        """A connection, and whether it was used before."""
        try:
            connection = self._idle.pop()
        except IndexError:
            return self._target.connection(timeout), False
        connection.timeout = timeout
        connection.sock.settimeout(timeout)
        return connection, True

    def leave(self) -> None:
        """Close the connections that no call uses, in a process that was forked just now."""
        self._close_idle()

    def close(self) -> None:
        """Close the connections that no call uses."""
        with self._lock:
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


def _json(response: HTTPResponse) -> str:
    """The text of an answer in JSON. "" if it is something else, such as a stream without end."""
    if media_type(response.getheader("Content-Type", "")) != "application/json":
        return ""
    return response.read(MAX_ANSWER).decode("utf-8", "replace")


def _ids(text: str, count: int) -> list[str]:
    """The ids that an answer gives."""
    try:
        ids = json.loads(text)["ids"]
    except (ValueError, LookupError, TypeError, RecursionError):
        ids = None
    if not isinstance(ids, list) or [type(id) for id in ids] != [str] * count:
        raise HTTPError(502, NO_ANSWER)
    return ids
