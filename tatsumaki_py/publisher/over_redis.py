"""Publishing through Redis, as servers do, but without a log or a subscription.

Rules:
1. The connections belong to the event loop of one thread. Other threads pass their calls to it.
2. Each call ends, even if that thread fails, hangs or cannot start.
3. The settings that servers have stored for a channel apply, such as how long events are kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import selectors
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from functools import lru_cache, partial
from threading import RLock, Thread, current_thread

from tatsumaki_py.error import HTTPError, ServerStopping
from tatsumaki_py.message_queue.engine import Feed
from tatsumaki_py.message_queue.engine.redis.answer import Answer
from tatsumaki_py.message_queue.engine.redis.clock import RedisClock
from tatsumaki_py.message_queue.engine.redis.connect import Connections, patient
from tatsumaki_py.message_queue.engine.redis.keys import Keys
from tatsumaki_py.message_queue.engine.redis.options import RedisOptions
from tatsumaki_py.message_queue.engine.redis.outage import Outage
from tatsumaki_py.message_queue.engine.redis.publishing import Outbox
from tatsumaki_py.message_queue.engine.redis.wire import Mark, marked
from tatsumaki_py.message_queue.settings import ChannelSettings
from tatsumaki_py.publisher.thread_log import ThreadLog

__all__ = ["RedisLink"]

MAX_CHANNELS = 1000
"""Maximum number of channels whose key names are cached."""
START = 5.0
"""Seconds for the thread to start."""
SPARE = 3.0
"""Seconds by which an answer from the thread may be late."""
GOODBYE = 1.0
"""Seconds for connections to close."""
HURRY = 0.2
"""Seconds for the answers, and again for closing, if no code waits for an answer."""
CLOSE = 5.0
"""Seconds for the thread to end."""

FAILED = "the thread of the publisher has failed"
HANGS = "the thread of the publisher hangs"

_log = logging.getLogger("tatsumaki")


class RedisLink:
    """Publishes through the Redis of `options`, from one process."""

    def __init__(self, options: RedisOptions) -> None:
        self._options = options
        self._patience = options.publish_timeout + SPARE
        # Reentrant, because a signal handler may publish while its thread is publishing.
        self._lock = RLock()
        self._log = ThreadLog()
        self._worker: _Worker | None = None

    def publish(
        self,
        channel: str,
        bodies: Sequence[bytes],
        key: str | None,
        idempotency_key: str | None,
    ) -> list[str]:
        """Publish events that are JSON, and return the ids. Raises 503 after `publish_timeout`."""
        ids = self._submit(channel, bodies, marked(key), idempotency_key)
        with self._in_time(ids):
            return ids.result(self._patience)

    async def apublish(
        self,
        channel: str,
        bodies: Sequence[bytes],
        key: str | None,
        idempotency_key: str | None,
    ) -> list[str]:
        """Like `publish`, without blocking."""
        ids = self._submit(channel, bodies, marked(key), idempotency_key)
        with self._in_time(ids):
            async with asyncio.timeout(self._patience):
                return await asyncio.wrap_future(ids)

    def _submit(
        self, channel: str, bodies: Sequence[bytes], mark: Mark, idempotency_key: str | None
    ) -> _Ids:
        if self._log.is_here:
            raise RuntimeError(
                "a publisher cannot publish in its own thread, for example in a logging.Handler"
            )
        # No other thread runs any more, and a new one would never start.
        if sys.is_finalizing():
            raise RuntimeError(
                "the interpreter is ending, so a publisher for Redis cannot publish any more, for "
                "example in __del__: publish earlier, for example in a function that atexit calls"
            )
        with self._lock:
            worker = self._worker
            if worker is None or worker.over:
                # Stored before its thread runs, because a signal's exception may end this call.
                worker = self._worker = _Worker(self._options, self._log)
            worker.start()
            return worker.submit(channel, bodies, mark, idempotency_key)

    @contextlib.contextmanager
    def _in_time(self, ids: _Ids) -> Iterator[None]:
        try:
            ids.awaited = True
            yield
        except TimeoutError:
            outcome = "not accepted" if ids.cancel() else "not known to be accepted"
            raise HTTPError(503, f"the events were {outcome}: {HANGS}") from None
        finally:
            # An exception such as KeyboardInterrupt may end the wait.
            ids.awaited = False

    def leave(self) -> None:
        """Leave the parent's connections alone, in a process that was just forked."""
        if self._worker is not None:
            self._worker.leave()

    def close(self) -> None:
        """Wait up to 3 seconds for the answers to all calls, or 0.2 seconds if no code waits for
        them, and close the connections.
        """
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()
        self._log.flush()


class _Ids(Future[list[str]]):
    """The ids of the events of a call."""

    awaited = False
    """Whether code waits for them."""


class _Worker:
    """A thread with an event loop, until it is closed or fails.

    Attributes:
        over: whether the thread has ended.
    """

    def __init__(self, options: RedisOptions, log: ThreadLog) -> None:
        self.over = False
        self._options = options
        self._log = log
        self._channel = lru_cache(MAX_CHANNELS)(_Channel)
        self._calls: set[_Ids] = set()
        # Not epoll, whose kernel object a forked process would share. Windows has no poll.
        self._selector = getattr(selectors, "PollSelector", selectors.SelectSelector)()
        self._ready: Future[None] = Future()
        self._thread = Thread(target=self._run, name="tatsumaki-publisher", daemon=True)

    def start(self) -> None:
        """Start the thread, unless it runs, and wait until it accepts calls."""
        if self._thread.ident is None:
            self._thread.start()
        try:
            self._ready.result(START)
        except TimeoutError:
            if self._cancel():
                raise HTTPError(503, f"the events were not accepted: {HANGS}") from None
            self._ready.result()

    def _cancel(self) -> bool:
        """Cancel the thread's start if possible. Returns whether the thread accepts no calls."""
        self.over = self.over or self._ready.cancel()
        return self.over

    def _run(self) -> None:
        self._log.adopt()
        try:
            loop_factory = partial(asyncio.SelectorEventLoop, self._selector)
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                runner.run(self._serve())
        except BaseException as error:
            if self._ready.done():
                _log.exception(FAILED)
            else:
                self._ready.set_exception(error)
        finally:
            self.over = True
            for ids in [*self._calls]:
                _fail(ids, HTTPError(503, FAILED))

    async def _serve(self) -> None:
        options = self._options
        self._loop = asyncio.get_running_loop()
        own = len(self._selector.get_map())
        self._stop = asyncio.Event()
        self._outage = _Outage(options.place, lambda: None)
        # The reason for a failed attempt is known before the publish fails.
        connections = Connections(patient(options))
        self._outbox = Outbox(
            secrets.token_hex(8),
            connections,
            options,
            self._outage,
            RedisClock(),
            lambda feed, prev, ids, bodies, marks, arrived: arrived(),
            knows_settings=False,
        )
        if not self._ready.set_running_or_notify_cancel():
            return
        self._ready.set_result(None)
        hurry = False
        try:
            await self._stop.wait()
            hurry = bool(self._calls) and not any(ids.awaited for ids in self._calls)
            await self._outbox.close(HURRY if hurry else None)
        finally:
            await connections.close()
            await self._goodbye(own, HURRY if hurry else GOODBYE)

    async def _goodbye(self, own: int, seconds: float) -> None:
        """Wait until all sockets but `own` are closed: with TLS, Redis answers the close."""
        end = self._loop.time() + seconds
        while len(self._selector.get_map()) > own and self._loop.time() < end:
            await asyncio.sleep(0.001)
        # Lets the callbacks of answers and of the last socket run.
        await asyncio.sleep(0)

    def submit(
        self, channel: str, bodies: Sequence[bytes], mark: Mark, idempotency_key: str | None
    ) -> _Ids:
        """Publish; called in any other thread."""
        ids = _Ids()
        self._calls.add(ids)
        ids.add_done_callback(self._calls.discard)
        try:
            call = partial(self._publish, ids, channel, bodies, mark, idempotency_key)
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:
            _fail(ids, HTTPError(503, FAILED))
        return ids

    def _publish(
        self,
        ids: _Ids,
        channel: str,
        bodies: Sequence[bytes],
        mark: Mark,
        idempotency_key: str | None,
    ) -> None:
        if not ids.set_running_or_notify_cancel():
            return
        try:
            feed = self._channel(channel)
            keys = Keys(self._options.prefix, channel)
            answer = self._outbox.publish(feed, keys, bodies, mark, idempotency_key)
        except Exception as error:
            ids.set_exception(error)
        else:
            answer.add_done_callback(partial(self._answered, ids))

    def _answered(self, ids: _Ids, answer: Answer) -> None:
        error = answer.exception()
        if error is None:
            ids.set_result(answer.result())
        elif isinstance(error, ServerStopping):
            _fail(ids, HTTPError(503, "the publisher was closed before Redis confirmed the events"))
        elif isinstance(error, HTTPError) and error.code == 503:
            reason = str(error.__cause__ or self._outage.reason)
            _fail(ids, HTTPError(503, f"{error}: {reason}" if reason else str(error)))
        else:
            _fail(ids, error)

    def leave(self) -> None:
        """Drop the sockets, in a fork of the thread's process."""
        # Other objects still refer to these descriptors, so their numbers must stay in use.
        with open(os.devnull, "rb") as nothing:
            for key in (self._selector.get_map() or {}).values():
                os.dup2(nothing.fileno(), key.fd, inheritable=False)

    def close(self) -> None:
        if self._thread.ident is None:
            self._selector.close()
            return
        if not self._cancel():
            # The thread may have failed.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stop.set)
        # Python may collect garbage, such as a publisher, in any thread.
        if current_thread() is not self._thread:
            self._thread.join(CLOSE)


def _fail(ids: _Ids, error: BaseException) -> None:
    # The caller may have cancelled the call.
    with contextlib.suppress(InvalidStateError):
        ids.set_exception(error)


class _Outage(Outage):
    """Remembers why Redis cannot be reached. The errors of calls give the reason."""

    reason = ""

    def failed(self, part: str, error: object, began: float) -> None:
        self.reason = str(error)

    def worked(self, part: str) -> None:
        self.reason = ""


class _Channel(Feed):
    """A channel without a log in this process."""

    settings = ChannelSettings()
    name = top = floor = ""

    def __init__(self, name: str) -> None:
        self.name = name
        self.beside = 0
