"""Publisher: publish from outside of a server, such as in a cron job, a Celery task, a Django view
or a thread.

>>> from tatsumaki_py.publisher import Publisher
>>> publisher = Publisher("http://127.0.0.1:5000/publish/{channel}")
>>> def notify(order):
...     return publisher.publish("orders", {"id": order, "state": "paid"})

Rules:
1. A publisher keeps no log, has no subscription, and needs no event loop of its program.
2. A link, which has connections and threads, belongs to one process. A forked process makes its own
   link, and never uses or ends that of its parent.
3. Events are checked here, as `MessageQueue.publish` checks them, before any of them is sent.
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
from tatsumaki_py.message_queue.event_json import checked_json, event_json
from tatsumaki_py.message_queue.idempotency import check_key
from tatsumaki_py.message_queue.names import checked_name
from tatsumaki_py.message_queue.settings import ChannelSettings
from tatsumaki_py.publisher.over_http import HTTPLink

__all__ = ["Publisher"]


class _Link(Protocol):
    """The connections of one process to the server. The methods may be called in any thread."""

    def publish(self, channel: str, bodies: Sequence[bytes], key: str | None) -> list[str]:
        """The ids of the events. Blocks, and raises 503 after the time that a call has."""

    async def apublish(self, channel: str, bodies: Sequence[bytes], key: str | None) -> list[str]:
        """As `publish`, without blocking."""

    def close(self) -> None:
        """Close the connections. A later call opens others."""

    def leave(self) -> None:
        """Drop the connections: this process is a fork of the one that the link belongs to."""


class Publisher:
    """Publishes events on any channel, from any thread, coroutine or forked process.

    Args:
        url: where to publish. An ``http://`` or ``https://`` URL is that of a `PublishHandler`;
            ``{channel}`` in it stands for the name of the channel. Any other URL is that of an
            engine in Redis, as `MessageQueue.configure` takes it. None is the URL in the
            environment variable ``TATSUMAKI_ENGINE``.
        json: the encoder of events; see `MessageQueue.json`.
        max_event_size: bytes of JSON that one event may have. Default: as
            `MessageQueue.max_event_size`, 1 MiB.
        publish_timeout: seconds that a call tries, in all, from 0.05 to 300. Default 5.
        headers: with an HTTP URL, headers of each request, such as ``Authorization``. The user and
            the password of the URL are sent as Basic authentication.
        options: with the URL of an engine, its options, as if they were in the query of the URL.

    Raises:
        ValueError: the URL or an option is not valid, or the URL is of an engine that belongs to
            one process (``memory:`` and ``sqlite:``).
        EngineError: redis-py is not installed.

    Connections are opened when they are needed, and kept for later calls. After `close`, a
    publisher can be used again. ``with Publisher(...) as publisher`` and ``async with`` close it.
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
        # Also at the end of the program.
        weakref.finalize(self, _close, self._links)

    @property
    def _link(self) -> _Link:
        """That of this process."""
        link = self._links.get(os.getpid())
        # Threads that make one at the same time get the same.
        return link or self._links.setdefault(os.getpid(), self._make_link())

    def publish(
        self, channel: str | int, *events: Any, idempotency_key: str | None = None
    ) -> list[str]:
        """Publish events, all or none of them, and return their ids. Blocks the thread until they
        are accepted.

        Args:
            channel: the name of the channel; an int is taken as its text.
            events: values that JSON can carry, or that `json` encodes, 1000 at most. Without any,
                nothing is sent.
            idempotency_key: a name for these events, 1 to 255 characters. If they were published
                under it within `MessageQueue.idempotency_time`, they are not published again, and
                the ids are the same as before. The retries of one call need no key; a program that
                may run again needs one.

        Raises:
            TypeError, ValueError: an event cannot be encoded, or is of type "gap". Nothing is
                published.
            Error.HTTP: 413 for too large an event, more than 1000 events or 4 MiB, 400 for a bad
                key or an overlong name of the channel, 422 if other events were published under
                the key, 503 if the events were not accepted within `publish_timeout`: the text
                says whether they may have been accepted without an answer. Over HTTP also what the
                server answers, such as 401, 403 or 429.
            RuntimeError: a handler of the log publishes a line that was logged by the thread of its
                own publisher for Redis; or the interpreter ends, such as in ``__del__`` of an
                object that lives until then. A function that `atexit` calls may publish; from
                Python 3.12 on, only if the program has published before.
        """
        bodies = [event_json(event, self.json) for event in events]
        return self._publish(channel, bodies, idempotency_key)

    def publish_json(
        self, channel: str | int, *bodies: bytes, idempotency_key: str | None = None
    ) -> list[str]:
        """Publish events that are JSON already; see `publish`.

        Args:
            bodies: JSON in UTF-8, of type bytes. `ValueError` if one is not JSON.
        """
        return self._publish(channel, list(map(checked_json, bodies)), idempotency_key)

    def _publish(self, channel: str | int, bodies: Sequence[bytes], key: str | None) -> list[str]:
        name = self._checked(channel, bodies, key)
        if not bodies:
            return []
        return self._link.publish(name, bodies, key)

    async def apublish(
        self, channel: str | int, *events: Any, idempotency_key: str | None = None
    ) -> list[str]:
        """As `publish`, in any asyncio event loop, also in several: another thread does the work.

        Calls that are awaited one after the other are accepted in that order. If the await is
        cancelled, the events may still be published. Over HTTP, 32 calls run at a time; others wait
        for them, within their `publish_timeout`.
        """
        bodies = [event_json(event, self.json) for event in events]
        name = self._checked(channel, bodies, idempotency_key)
        if not bodies:
            return []
        return await self._link.apublish(name, bodies, idempotency_key)

    def _checked(self, channel: str | int, bodies: Sequence[bytes], key: str | None) -> str:
        """The name of the channel. Raises like `publish`."""
        name = checked_name("a channel's name", channel)
        if key is not None:
            check_key(key)
        check_size(bodies)
        for body in bodies:
            if len(body) > self.max_event_size:
                raise HTTPError(
                    413, f"an event of {len(body)} bytes is more than {self.max_event_size}"
                )
        return name

    def close(self) -> None:
        """Close the connections. Calls that have begun are finished, through Redis within 3 s, or
        0.2 s if no code waits for any of them, because it was interrupted or cancelled.
        """
        _close(self._links)

    async def aclose(self) -> None:
        """As `close`, without blocking the event loop."""
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
    """This process was forked just now."""
    for publisher in [*_publishers]:
        # The link of the parent's parent is left alone: other files may have its descriptors by
        # now.
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
    """The function that makes a link."""
    if url is None:
        raise ValueError(
            "a Publisher needs a URL: that of a PublishHandler, such as "
            "http://127.0.0.1:5000/publish/{channel}, or that of an engine, such as "
            f"redis://127.0.0.1:6379/0, also as {VARIABLE} in the environment"
        )
    kind = url.partition(":")[0].lower()
    if kind in ("http", "https"):
        if others := options.keys() - {"publish_timeout"}:
            raise TypeError(f"with an {kind}:// URL there is no option {', '.join(sorted(others))}")
        return partial(HTTPLink, url, dict(headers or {}), **options)
    if headers:
        raise TypeError("headers need an http:// or https:// URL")
    if kind in ("memory", "sqlite"):
        raise ValueError(
            f"the events of {kind}: belong to one process: publish by a PublishHandler of that "
            "process, with its URL, such as http://127.0.0.1:5000/publish/{channel}"
        )
    choose(url, options)
    # Imports redis-py.
    from tatsumaki_py.publisher.over_redis import RedisLink

    return partial(RedisLink, parse(url, options))
