"""Publisher: publish from outside of a server, for example from a cron job, a Celery task, a Django
view or a thread.

>>> from tatsumaki_py.publisher import Publisher
>>> publisher = Publisher("http://127.0.0.1:5000/publish/{channel}")
>>> def notify(order):
...     return publisher.publish("orders", {"id": order, "state": "paid"})

Rules:
1. A publisher keeps no log and no subscription, and needs no event loop in its program.
2. A link, which has connections and threads, belongs to one process. A forked process makes its own
   link, and never uses or closes that of its parent.
3. Events are checked here, with the checks of `MessageQueue.publish`, before any of them is sent.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, Self

from tatsumaki_py.error import HTTPError
from tatsumaki_py.json_codec import JSON, JSONCodec
from tatsumaki_py.message_queue.engine.choose import VARIABLE, choose
from tatsumaki_py.message_queue.engine.redis.calls import check_size
from tatsumaki_py.message_queue.engine.redis.options import parse
from tatsumaki_py.message_queue.event_json import END, checked_json, event_json
from tatsumaki_py.message_queue.idempotency import check_keys
from tatsumaki_py.message_queue.names import checked_name
from tatsumaki_py.message_queue.settings import ChannelSettings
from tatsumaki_py.publisher.over_http import HTTPLink

__all__ = ["Publisher"]


class _Link(Protocol):
    """The connections of one process to the server. The methods may be called in any thread."""

    def publish(
        self,
        channel: str,
        bodies: Sequence[bytes],
        key: str | None,
        idempotency_key: str | None,
    ) -> list[str]:
        """Publish, and return the ids of the events. Blocks; raises 503 when the call has run out
        of time.
        """

    async def apublish(
        self,
        channel: str,
        bodies: Sequence[bytes],
        key: str | None,
        idempotency_key: str | None,
    ) -> list[str]:
        """Like `publish`, without blocking."""

    def close(self) -> None:
        """Close the connections. A later call opens new ones."""

    def leave(self) -> None:
        """Drop the connections, in a fork of the process that the link belongs to."""


class Publisher:
    """Publishes events on any channel, from any thread, coroutine or forked process.

    Args:
        url: where to publish. An ``http://`` or ``https://`` URL is that of a `PublishHandler`;
            ``{channel}`` in it is replaced by the name of the channel. Any other URL is that of a
            Redis engine, as for `MessageQueue.configure`. None means the URL in the environment
            variable ``TATSUMAKI_ENGINE``.
        json: the encoder of events; see `MessageQueue.json`.
        max_event_size: maximum bytes of JSON in one event. Default: 1 MiB, as in
            `MessageQueue.max_event_size`.
        publish_timeout: total seconds for which a call retries, from 0.05 to 300. Default: 5.
        headers: with an HTTP URL, headers of each request, such as ``Authorization``. The user and
            the password of the URL are sent as Basic authentication.
        options: with the URL of an engine, its options, as in the query of the URL.

    Raises:
        ValueError: the URL or an option is invalid, or the URL names an engine that belongs to one
            process (``memory:`` and ``sqlite:``).
        EngineError: redis-py is not installed.

    Connections are opened when needed, and kept for later calls. A publisher can be used again
    after `close`. ``with Publisher(...) as publisher`` and ``async with`` close it.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        json: JSONCodec = JSON,
        max_event_size: int = ChannelSettings.max_event_size,
        publish_timeout: float | None = None,
        headers: Mapping[str, str | float] | None = None,
        **options: Any,
    ) -> None:
        self.json = json
        self.max_event_size = max_event_size
        if publish_timeout is not None:
            options["publish_timeout"] = publish_timeout
        self._make_link = _maker(url or os.environ.get(VARIABLE), headers, options)
        self._links = {os.getpid(): self._make_link()}
        _publishers.add(self)
        # Also runs at the end of the program.
        weakref.finalize(self, _close, self._links)

    @property
    def _link(self) -> _Link:
        """The link of this process."""
        link = self._links.get(os.getpid())
        # Threads that call this at the same time get the same link.
        return link or self._links.setdefault(os.getpid(), self._make_link())

    def publish(
        self,
        channel: str | int,
        *events: Any,
        key: str | None = None,
        idempotency_key: str | None = None,
    ) -> list[str]:
        """Publish events, all or none of them, and return their ids. Blocks the thread until they
        are accepted.

        Args:
            channel: the name of the channel; an int is converted to a str.
            events: up to 1000 JSON values, or values that `json` encodes. Without events, nothing
                is sent.
            key: what the events are about, 1 to 255 characters; see `MessageQueue.publish`.
            idempotency_key: a key for these events, 1 to 255 characters. If they were already
                published under this key within `MessageQueue.idempotency_time`, they are not
                published again, and the result is the same ids. The retries of one call need no
                key; a program that may run again needs one.

        Raises:
            TypeError, ValueError: an event cannot be encoded, or is of type "gap" or "end".
                Nothing is published.
            Error.HTTP: 413 for an oversized event, more than 1000 events or 4 MiB; 400 for an
                invalid key or an overlong name of the channel; 422 if other events were published
                under the key; 503 if the events were not accepted within ``publish_timeout`` (the
                text says whether they may have been accepted without an answer). Over HTTP, also
                other statuses from the server, such as 401, 403 or 429.
            RuntimeError: a `logging.Handler` publishes a line that the thread of its own publisher
                for Redis has logged; or the interpreter is ending, for example in ``__del__`` of an
                object that lives until then. An `atexit` function may publish; since Python 3.12,
                only if the program has published before.
        """
        bodies = [event_json(event, self.json) for event in events]
        return self._publish(channel, bodies, key, idempotency_key)

    def publish_json(
        self,
        channel: str | int,
        *bodies: bytes,
        key: str | None = None,
        idempotency_key: str | None = None,
    ) -> list[str]:
        """Publish events that are already JSON; see `publish`.

        Args:
            bodies: JSON in UTF-8, of type bytes. Raises `ValueError` if one is not JSON.
        """
        return self._publish(channel, list(map(checked_json, bodies)), key, idempotency_key)

    def end(self, channel: str | int, *, idempotency_key: str | None = None) -> list[str]:
        """End the channel; see `MessageQueue.end` and `publish`. Returns a list of one id,
        that of the end. Over HTTP, raises 403 unless the handler allows it
        (`PublishHandler.may_end`).
        """
        return self._publish(channel, [END], None, idempotency_key)

    async def aend(self, channel: str | int, *, idempotency_key: str | None = None) -> list[str]:
        """Like `end`, in any asyncio event loop; see `apublish`."""
        name = self._checked(channel, [END], None, idempotency_key)
        return await self._link.apublish(name, [END], None, idempotency_key)

    def _publish(
        self,
        channel: str | int,
        bodies: Sequence[bytes],
        key: str | None,
        idempotency_key: str | None,
    ) -> list[str]:
        name = self._checked(channel, bodies, key, idempotency_key)
        if not bodies:
            return []
        return self._link.publish(name, bodies, key, idempotency_key)

    async def apublish(
        self,
        channel: str | int,
        *events: Any,
        key: str | None = None,
        idempotency_key: str | None = None,
    ) -> list[str]:
        """Like `publish`, in one or several asyncio event loops: another thread does the work.
        Calls that are awaited one after the other are accepted in that order. If the await is
        cancelled, the events may still be published. Over HTTP, up to 32 calls run at a time;
        further calls wait, within their `publish_timeout`.
        """
        bodies = [event_json(event, self.json) for event in events]
        name = self._checked(channel, bodies, key, idempotency_key)
        if not bodies:
            return []
        return await self._link.apublish(name, bodies, key, idempotency_key)

    def _checked(
        self,
        channel: str | int,
        bodies: Sequence[bytes],
        key: str | None,
        idempotency_key: str | None,
    ) -> str:
        """The name of the channel. Raises the same errors as `publish`."""
        name = checked_name("a channel's name", channel)
        check_keys(key, idempotency_key)
        check_size(bodies)
        for body in bodies:
            if len(body) > self.max_event_size:
                raise HTTPError(
                    413,
                    f"an event of {len(body)} bytes exceeds the maximum of {self.max_event_size}",
                )
        return name

    def close(self) -> None:
        """Close the connections. Over HTTP, this does not wait for calls in flight, which continue.
        Through Redis, calls in flight get up to 3 s, or 0.2 s if no code waits for any of them,
        because all were interrupted or cancelled.
        """
        _close(self._links)

    async def aclose(self) -> None:
        """Like `close`, without blocking the event loop."""
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()


_publishers: weakref.WeakSet[Publisher] = weakref.WeakSet()


def _leave_parent() -> None:
    """Called in a process that was just forked."""
    for publisher in [*_publishers]:
        # The link of a grandparent is left alone, because other files may now have its descriptors.
        if link := publisher._links.get(os.getppid()):
            link.leave()


# Windows has no fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_parent)


def _close(links: Mapping[int, _Link]) -> None:
    """Close the link of this process."""
    if link := links.get(os.getpid()):
        link.close()


def _maker(
    url: str | None, headers: Mapping[str, str | float] | None, options: dict[str, Any]
) -> Callable[[], _Link]:
    """Returns the function that makes a link."""
    if url is None:
        raise ValueError(
            "a Publisher needs a URL: that of a PublishHandler, such as "
            "http://127.0.0.1:5000/publish/{channel}, or that of an engine, such as "
            f"redis://127.0.0.1:6379/0, also as {VARIABLE} in the environment"
        )
    kind = url.partition(":")[0].lower()
    if kind in ("http", "https"):
        if others := options.keys() - {"publish_timeout"}:
            raise TypeError(
                f"an {kind}:// URL does not take the option {', '.join(sorted(others))}"
            )
        return partial(HTTPLink, url, dict(headers or {}), **options)
    if headers:
        raise TypeError("headers need an http:// or https:// URL")
    if kind in ("memory", "sqlite"):
        raise ValueError(
            f"the events of {kind}: belong to one process: publish through a PublishHandler of "
            "that process, with its URL, such as http://127.0.0.1:5000/publish/{channel}"
        )
    choose(url, options)
    # Imports redis-py.
    from tatsumaki_py.publisher.over_redis import RedisLink

    return partial(RedisLink, parse(url, options))
