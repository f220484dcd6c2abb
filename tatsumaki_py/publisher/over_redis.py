"""Publishing through Redis, as servers do, but with no log and no subscription.

Rules:
1. The thread, its event loop and its connections belong to one process. A forked process makes its
   own.
2. What servers have set for a channel counts, such as how long events are kept.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import secrets
from collections.abc import Sequence
from concurrent.futures import Future
from functools import lru_cache
from threading import Lock, Thread, current_thread

from tatsumaki_py.error import HTTPError
from tatsumaki_py.message_queue.engine import Feed
from tatsumaki_py.message_queue.engine.redis.clock import RedisClock
from tatsumaki_py.message_queue.engine.redis.connect import Connections
from tatsumaki_py.message_queue.engine.redis.keys import Keys
from tatsumaki_py.message_queue.engine.redis.options import RedisOptions
from tatsumaki_py.message_queue.engine.redis.outage import Outage
from tatsumaki_py.message_queue.engine.redis.publishing import Outbox
from tatsumaki_py.message_queue.settings import ChannelSettings

__all__ = ["RedisLink"]

MAX_CHANNELS = 1000
"""Channels whose names of keys are kept."""


class RedisLink:
    """Publishes through the Redis of `options`."""

    def __init__(self, options: RedisOptions) -> None:
        self._options = options
        self._process = os.getpid()
        self._lock = Lock()
        self._worker: _Worker | None = None

    def publish(self, channel: str, bodies: Sequence[bytes], key: str | None) -> list[str]:
        """Publish events that are JSON, and return their ids. 503 after `publish_timeout`."""
        return self.submit(channel, bodies, key).result()

    def submit(self, channel: str, bodies: Sequence[bytes], key: str | None) -> Future[list[str]]:
        """As `publish`, without blocking."""
        self._forget_parent()
        with self._lock:
            if self._worker is None:
                self._worker = _Worker(self._options)
            return self._worker.submit(channel, bodies, key)

    def _forget_parent(self) -> None:
        if self._process != os.getpid():
            # A thread that does not run here may hold the lock.
            self._lock = Lock()
            _keep_forever(self._worker)
            self._worker = None
            self._process = os.getpid()

    def close(self) -> None:
        """Wait for the answers to all calls, for 3 seconds, and close the connections."""
        self._forget_parent()
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()


def _keep_forever(worker: _Worker | None) -> None:
    """Let Python never finalize the worker of the parent process, also not at the end: its loop
    would take the parent's sockets out of the epoll instance that both processes share, and TLS
    would close the parent's sessions.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(worker))


class _Worker:
    """An event loop in a thread of its own."""

    def __init__(self, options: RedisOptions) -> None:
        self._options = options
        self._channel = lru_cache(MAX_CHANNELS)(_Channel)
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._run, name="tatsumaki-publisher", daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()

    def _run(self) -> None:
        self._loop.run_forever()
        self._loop.close()

    async def _open(self) -> None:
        options = self._options
        self._connections = Connections(options)
        self._outage = _Outage(options.place, lambda: None)
        self._outbox = Outbox(
            secrets.token_hex(8),
            self._connections,
            options,
            self._outage,
            RedisClock(),
            lambda feed, prev, ids, bodies, quiet, arrived: arrived(),
            knows_settings=False,
        )

    def submit(self, channel: str, bodies: Sequence[bytes], key: str | None) -> Future[list[str]]:
        return asyncio.run_coroutine_threadsafe(self._publish(channel, bodies, key), self._loop)

    async def _publish(self, channel: str, bodies: Sequence[bytes], key: str | None) -> list[str]:
        feed = self._channel(channel)
        keys = Keys(self._options.prefix, channel)
        try:
            return await self._outbox.publish(feed, keys, bodies, key, quiet=False)
        except HTTPError as error:
            if error.code != 503 or not self._outage.reason:
                raise
            raise HTTPError(503, f"{error}: {self._outage.reason}") from None

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop)
        # Python collects garbage, such as a publisher, in any thread.
        if current_thread() is not self._thread:
            self._thread.join()

    async def _close(self) -> None:
        await self._outbox.close()
        await self._connections.close()
        await self._loop.shutdown_default_executor()
        # After the callbacks of the connections.
        self._loop.call_soon(self._loop.stop)


class _Outage(Outage):
    """Remembers why Redis cannot be reached. The errors of the calls say so, instead of the log."""

    reason = ""

    def failed(self, part: str, error: object, began: float) -> None:
        self.reason = str(error)

    def worked(self, part: str) -> None:
        self.reason = ""


class _Channel(Feed):
    """A channel of which this process has no log."""

    settings = ChannelSettings()
    name = top = floor = ""

    def __init__(self, name: str) -> None:
        self.name = name
        self.beside = 0
