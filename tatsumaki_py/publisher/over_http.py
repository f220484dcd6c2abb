"""Publishing by POST requests to a `PublishHandler`.

Rules:
1. Each call has an idempotency key, so that an attempt can be repeated if its answer was lost.
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
from tatsumaki_py.message_queue.event_json import END
from tatsumaki_py.publisher.attempts import Attempts

__all__ = ["HTTPLink"]

PLACEHOLDER = "{channel}"
MAX_IDLE = 32
"""Maximum number of connections to keep for later calls."""
MAX_THREADS = 32
"""How many calls may run at a time without blocking the caller's thread."""
MAX_ANSWER = 1024 * 1024
"""Maximum bytes of a successful answer."""
AGAIN = (429, 502, 503, 504)
"""Statuses after which a retry may succeed."""

NO_ANSWER = "the answer does not come from a PublishHandler: check the URL"


class HTTPLink:
    """Publishes at a URL, from one process. See `tatsumaki_py.publisher.Publisher` for the
    arguments.
    """

    def __init__(
        self, url: str, headers: Mapping[str, str | float], *, publish_timeout: float = 5.0
    ) -> None:
        is_number = isinstance(publish_timeout, (int, float))
        if not (is_number and 0.05 <= publish_timeout <= 300):
            raise ValueError(
                f"publish_timeout must be 0.05 to 300 seconds, not {publish_timeout!r}"
            )
        self._timeout = publish_timeout
        self._target = Target(url, {"User-Agent": "tatsumaki_py"} | dict(headers))
        self._target.headers["Content-Type"] = "application/json"
        self._idle: deque[HTTPConnection] = deque()
        self._lock = RLock()
        self._threads: ThreadPoolExecutor | None = None

    def publish(
        self,
        channel: str,
        bodies: Sequence[bytes],
        key: str | None,
        idempotency_key: str | None,
    ) -> list[str]:
        """Publish events that are JSON, and return the ids. Raises 503 after `publish_timeout`."""
        headers = _headers(key, idempotency_key)
        return self._publish(channel, bodies, headers, Attempts(self._timeout))

    async def apublish(
        self,
        channel: str,
        bodies: Sequence[bytes],
        key: str | None,
        idempotency_key: str | None,
    ) -> list[str]:
        """Like `publish`, in another thread."""
        headers, attempts = _headers(key, idempotency_key), Attempts(self._timeout)
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(MAX_THREADS, "tatsumaki-publisher")
            ids = self._threads.submit(self._publish, channel, bodies, headers, attempts)
        return await asyncio.wrap_future(ids)

    def _publish(
        self,
        channel: str,
        bodies: Sequence[bytes],
        headers: dict[str, str],
        attempts: Attempts,
    ) -> list[str]:
        path = self._path(channel)
        # In a list, because an event that is itself a list must stay one event. The handler takes
        # an end only outside of a list.
        body = END if bodies == [END] else b"[%b]" % b",".join(bodies)
        headers = self._target.headers | headers
        reason = "other calls occupied all threads"
        while True:
            connection, used = self._connection(attempts.left(reason))
            try:
                response, text = self._post(connection, path, body, headers, attempts)
            except FAULTS as error:
                reason = explained(error)
                if used:
                    # The server may have closed all idle connections.
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
                text = f"over HTTP, a channel's name must be text in UTF-8, not {channel!r}"
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
        """The answer, and its text. Raises one of `FAULTS` if the answer is incomplete."""
        try:
            # A server may refuse a large body before reading it.
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
        # After such a status, neither a server nor a proxy may know whether the events were
        # accepted.
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
        """A connection, and whether it has been used before."""
        try:
            connection = self._idle.pop()
        except IndexError:
            return self._target.connection(timeout), False
        connection.timeout = timeout
        connection.sock.settimeout(timeout)
        return connection, True

    def leave(self) -> None:
        """Close the unused connections, in a process that was just forked."""
        self._close_idle()

    def close(self) -> None:
        """Close the unused connections."""
        with self._lock:
            threads, self._threads = self._threads, None
            if threads is not None:
                threads.shutdown(wait=False)
        self._close_idle()

    def _close_idle(self) -> None:
        while self._idle:
            # Another thread may take one meanwhile.
            with contextlib.suppress(IndexError):
                self._idle.pop().close()


def _headers(key: str | None, idempotency_key: str | None) -> dict[str, str]:
    """The keys of one call as headers."""
    headers = {"Idempotency-Key": _header("an idempotency key", idempotency_key or uuid4().hex)}
    return headers if key is None else headers | {"Event-Key": _header("a key", key)}


def _header(noun: str, key: str) -> str:
    if not (key.isascii() and key.isprintable() and key == key.strip()):
        raise ValueError(f"over HTTP, {noun} must be printable ASCII, not padded with spaces")
    return key


def _json(response: HTTPResponse) -> str:
    """The text of a JSON answer; "" for anything else, such as an endless stream."""
    if media_type(response.getheader("Content-Type", "")) != "application/json":
        return ""
    return response.read(MAX_ANSWER).decode("utf-8", "replace")


def _ids(text: str, count: int) -> list[str]:
    """The ids in an answer."""
    try:
        answer = json.loads(text)
        ids = [answer["id"]] if "id" in answer else answer["ids"]
    except (ValueError, LookupError, TypeError, RecursionError):
        ids = None
    if not isinstance(ids, list) or [type(id) for id in ids] != [str] * count:
        raise HTTPError(502, NO_ANSWER)
    return ids
