"""The listener for ``await`` and ``async for``, and the objects that `poll` and `poll_once` return.

Rules:
1. The queue holds a `Mailbox`; the caller holds a `Poll`. A dropped coroutine drops its `Poll`,
   which ends the mailbox.
2. A batch counts as received when the user's code asks for the next one.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Self

from tatsumaki_py.error import ClientDisconnect
from tatsumaki_py.message_queue.client import ListenedTo, Listener
from tatsumaki_py.message_queue.event import Entry, Event

__all__ = ["PENDING", "AwaitedPoll", "IteratedPoll", "Mailbox", "Poll", "waiting_tasks"]

waiting_tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
"""The tasks that wait for events without a peer, including requests of plain Tornado handlers."""
PENDING = object()
"""The result of `Mailbox.put`: the events are not taken yet."""


class Mailbox(Listener):
    """A listener for a coroutine: holds a batch of events until the coroutine takes it."""

    __slots__ = ("_wake", "batch", "ended", "error", "taken")

    keeps = True

    def __init__(self, audience: ListenedTo, once: bool) -> None:
        super().__init__(audience, self.put, once)
        self.raw = True
        self.batch: list[Entry] | None = None
        self.taken = False
        """Whether the user's code has a batch and has not asked for the next one."""
        self.error: Exception | None = None
        self.ended = False
        self._wake: asyncio.Future[None] | None = None

    def begin(self) -> None:
        # `put` calls no user code.
        pass

    def put(self, *entries: Entry) -> object:
        """Hold `entries`. Called by the queue, which is notified when they are taken."""
        self.batch = list(entries)
        self._rouse()
        return PENDING

    async def take(self) -> list[Event] | None:
        """The next batch; None if the poll has ended."""
        if self.taken and not self.once:
            self._received()
        while self.batch is None and not self.ended:
            if self._wake is not None:
                raise RuntimeError("this poll is already being awaited")
            self._wake = asyncio.get_running_loop().create_future()
            task = asyncio.current_task() if self.peer is None else None
            if task is not None:
                waiting_tasks.add(task)
            try:
                await self._wake
            except BaseException:
                # Cancelled. A traceback may hold the `Poll` for a long time.
                if self.once:
                    self.cancel()
                raise
            finally:
                self._wake = None
                if task is not None:
                    waiting_tasks.discard(task)
                    # The traceback of its cancellation holds this frame.
                    task = None
        batch, self.batch = self.batch, None
        if batch is None:
            if self.error is not None:
                try:
                    raise self.error
                finally:
                    # Its traceback refers to this frame, which refers to this object.
                    self.error = None
            return None
        self.taken = True
        # Parsed before the batch counts as received, because parsing may fail.
        events = [entry.event() for entry in batch]
        if self.once:
            self._received()
        return events

    def has_all(self) -> bool:
        return self.batch is None

    def end(self, error: Exception | None = None) -> None:
        self.ended = True
        self.error = error
        self._rouse()
        super().end(error)

    def _received(self) -> None:
        if self.audience is not None:
            self.audience.received(self)

    def _rouse(self) -> None:
        wake = self._wake
        # A closed loop cannot run a coroutine.
        if wake is not None and not wake.done() and not wake.get_loop().is_closed():
            wake.set_result(None)


class Poll:
    """The result of `MessageQueue.poll_once` and `MessageQueue.poll` with a callback; `cancel` ends
    the poll. Without a callback, the result is of a subclass, to await or iterate: an `AwaitedPoll`
    or an `IteratedPoll`.
    """

    __slots__ = ("_listener", "arrival", "cursor", "new")

    new: bool
    """Whether this poll made the client a subscriber of this process (`MessageQueue.subscribers`).
    """
    cursor: str
    """The place of the client when it polled; "" if the poll ended immediately, or if the engine
    was still looking for the place.
    """
    arrival: asyncio.Future[bool] | None
    """A future that tells whether the poll made the client a subscriber, if other processes must be
    asked; otherwise None.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.new = False
        self.cursor = ""
        self.arrival = None

    def when_known(self, call: Callable[[bool], object]) -> None:
        """Call ``call(new)`` as soon as it is known whether this poll made the client a subscriber:
        now, or when the other processes have answered.
        """
        arrival = self.arrival
        if arrival is None:
            call(self.new)
        else:
            arrival.add_done_callback(lambda done: done.cancelled() or call(done.result()))

    def cancel(self) -> None:
        """Stop listening. The client's place is kept for `MessageQueue.reconnect_time` seconds.
        Raises `RuntimeError` outside of the event loop's thread.
        """
        audience = self._listener.audience
        if audience is not None:
            audience.check_thread("cancel", "poll")
            self._listener.cancel()

    if not TYPE_CHECKING:
        # Hidden from type checkers: they report these mistakes if the methods are missing.

        def __await__(self):
            raise TypeError(
                "a poll with a callback cannot be awaited: leave out the callback, or do not "
                "return the poll from a handler's method or a callback of IOLoop.add_callback"
            )

        __aiter__ = __await__


class _Waited(Poll):
    """A poll of code that waits for its events."""

    __slots__ = ()

    _listener: Mailbox

    def __del__(self) -> None:
        # No code can take events from this mailbox any more. (A long poll whose events were taken
        # continues until the answer is sent.)
        listener, audience = self._listener, self._listener.audience
        if audience is not None and not (listener.once and listener.taken):
            audience.in_thread(listener.cancel)


class AwaitedPoll(_Waited):
    """The result of `MessageQueue.poll_once` without a callback.

    ``events = await mq.poll_once(client_id)`` gives a list of `Event`, which is empty after the
    timeout or if the poll was ended. Cancelling the await ends the poll. Raises
    `Error.ClientDisconnect` if the client of the request leaves.
    """

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, list[Event]]:
        return self._take().__await__()

    async def _take(self) -> list[Event]:
        return await self._listener.take() or []

    if not TYPE_CHECKING:

        def __aiter__(self):
            raise TypeError("poll_once cannot be iterated: events = await mq.poll_once(client_id)")


class IteratedPoll(_Waited):
    """The result of `MessageQueue.poll` without a callback.

    ``async for events in mq.poll(client_id)`` gives one list of `Event` for each delivery. A batch
    counts as received when the next one is requested, so a slow loop holds at most one batch, and
    the log keeps the events after it. The loop ends when the poll ends or the client of the request
    leaves.
    """

    __slots__ = ()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[Event]:
        try:
            batch = await self._listener.take()
        except ClientDisconnect:
            batch = None
        if batch is None:
            raise StopAsyncIteration
        return batch

    if not TYPE_CHECKING:

        def __await__(self):
            raise TypeError("poll cannot be awaited: async for events in mq.poll(client_id)")
