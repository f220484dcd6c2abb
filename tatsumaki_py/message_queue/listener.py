"""Those who take a client's events: a callback, a coroutine, an iteration.

Rules:
1. A queue holds a `Listener`; a caller holds a `Poll`. A coroutine that is dropped drops its
   `Poll`, and that ends the listener.
2. A listener that ended never calls anybody again, and refers to nobody (no cycle survives it).
3. A callback runs in the context of who polled, as asyncio's do, not in that of who publishes:
   otherwise a poll inside it would be taken for one of the publisher's request. A plain method of
   the peer needs none: it runs where no request is current.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Generator
from contextvars import Context, ContextVar, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from tatsumaki_py.error import ClientDisconnect
from tatsumaki_py.message_queue.client import DELIVERING, LISTENING
from tatsumaki_py.message_queue.event import Entry, Event
from tatsumaki_py.message_queue.peer import Peer
from tatsumaki_py.message_queue.trail import Trail

if TYPE_CHECKING:
    from tatsumaki_py.message_queue.channel import Channel
    from tatsumaki_py.message_queue.client import Client

__all__ = ["PENDING", "Listener", "Mailbox", "Poll", "serving", "takes_entries"]

PENDING = object()
"""What `Mailbox.put` returns: the events are not taken yet."""

_Method = TypeVar("_Method", bound=Callable[..., Any])

serving: ContextVar[Listener | None] = ContextVar("tatsumaki_listener", default=None)
"""The listener whose callback is running, also in the tasks that it started."""


def takes_entries(method: _Method) -> _Method:
    """Marks a method of ours that hands entries of the log on as they are."""
    method.takes_entries = True  # type: ignore[attr-defined]
    return method


class Listener:
    """A callback that is called with events, once or for each delivery."""

    __slots__ = (
        "call",
        "callback",
        "client",
        "context",
        "once",
        "peer",
        "queue",
        "raw",
        "timer",
        "trail",
    )

    keeps = False
    """Whether it keeps what it was given until somebody asks."""

    def __init__(self, queue: Channel, callback: Callable[..., Any], once: bool) -> None:
        self.queue: Channel | None = queue
        self.client: Client | None = None
        self.callback: Callable[..., Any] | None = callback
        self.raw: bool = getattr(callback, "takes_entries", False)
        """Whether it is called with entries of the log, not with events."""
        self.context: Context | None = None
        self.call: Callable[..., Any] | None = callback
        self.once = once
        self.peer: Peer | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.trail: Trail | None = None
        """Of a stream of a client with a name, which may come back by it."""

    def begin(self) -> None:
        """The queue has taken it; see rule 3."""
        assert self.callback is not None
        of_peer = self.peer is not None and getattr(self.callback, "__self__", None) is self.peer
        if of_peer and not inspect.iscoroutinefunction(self.callback):
            # Its peer is known without one, and there are thousands of them.
            return
        self.context = copy_context()
        self.context.run(serving.set, self)
        self.call = partial(self.context.run, self.callback)

    def left(self, lost: bool) -> None:
        """The client is gone; see `Watcher.left`."""
        if self.queue is not None:
            self.queue._left(self, ClientDisconnect(), lost)

    def cancel(self) -> None:
        """Nobody wants it any more."""
        if self.queue is not None:
            self.queue._left(self)

    def reads(self, cursor: str) -> None:
        """Its stream, which is late, is about to read what follows `cursor`."""
        if self.queue is not None and self.trail is not None:
            self.trail.step(cursor, self.queue._now(), self.queue.recovery_time)

    def served(self) -> None:
        """The answer is complete."""
        if self.queue is not None:
            self.queue._served(self)

    def waits(self) -> bool:
        """Whether its client listens by it, and has all that it was given."""
        client = self.client
        return client is not None and client.listener is self and client.state is LISTENING

    def cursor(self) -> str:
        """Where its client is; "" if events are on their way."""
        return self.client.cursor if self.client is not None and self.waits() else ""

    def busy(self) -> bool:
        """Whether events are on their way."""
        return self.client is not None and self.client.state is DELIVERING

    def blocked(self, blocked: bool) -> None:
        """The client does not keep up, or does so again."""
        if self.queue is not None:
            self.queue._blocked(self, blocked)

    def timed_out(self) -> None:
        """Nothing came in time."""
        if self.queue is not None:
            self.queue._timed_out(self)

    def has_all(self) -> bool:
        """Whether all that was delivered has reached the code of the user."""
        return True

    def note(self, cursor: str) -> None:
        """Its client is at `cursor`, should it poll again in the same request."""
        peer, client, queue = self.peer, self.client, self.queue
        if peer is not None and client is not None and queue is not None and not peer._peer_left():
            peer._peer_given(queue.channel, client.id if client.named else None, cursor)

    def stop_timer(self) -> None:
        """It is not waiting any more."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def end(self, error: Exception | None = None) -> None:
        """Take nothing any more; see rule 2."""
        self.stop_timer()
        if self.peer is not None:
            self.peer._peer_unwatch(self)
        self.queue = self.client = self.callback = self.call = self.context = self.peer = None


class Mailbox(Listener):
    """A listener for a coroutine: keeps what comes until it is asked for."""

    __slots__ = ("_wake", "batch", "ended", "error", "taken")

    keeps = True

    def __init__(self, queue: Channel, once: bool) -> None:
        super().__init__(queue, self.put, once)
        self.raw = True
        self.batch: list[Entry] | None = None
        self.taken = False
        """Whether somebody has a batch and did not ask for the next one."""
        self.error: Exception | None = None
        self.ended = False
        self._wake: asyncio.Future[None] | None = None

    def begin(self) -> None:
        # `put` calls no code of a user.
        pass

    def put(self, *entries: Entry) -> object:
        """Called by the queue, which is told when they are taken."""
        self.batch = list(entries)
        self._rouse()
        return PENDING

    async def take(self) -> list[Event] | None:
        """The next batch, or None if there will be none."""
        if self.taken and not self.once:
            self._received()
        while self.batch is None and not self.ended:
            if self._wake is not None:
                raise RuntimeError("this poll is being waited for already")
            self._wake = asyncio.get_running_loop().create_future()
            try:
                await self._wake
            except BaseException:
                # Cancelled. A traceback may keep the `Poll` for long.
                if self.once:
                    self.cancel()
                raise
            finally:
                self._wake = None
        batch, self.batch = self.batch, None
        if batch is None:
            if self.error is not None:
                try:
                    raise self.error
                finally:
                    # It refers to this frame, which refers to this object.
                    self.error = None
            return None
        self.taken = True
        # Before it counts as received: it may turn out that it cannot be read.
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
        if self.queue is not None:
            self.queue._received(self)

    def _rouse(self) -> None:
        wake = self._wake
        # A loop that was closed wakes nobody.
        if wake is not None and not wake.done() and not wake.get_loop().is_closed():
            wake.set_result(None)


class Poll:
    """What `MessageQueue.poll_once` and `MessageQueue.poll` return.

    Without a callback: ``events = await mq.poll_once(client_id)`` gives a list of `Event`, and
    ``async for events in mq.poll(client_id)`` gives one list for each delivery. A batch counts as
    received when the next one is asked for, so a slow loop is not hurried: the log keeps what it
    has not read.

    With a callback there is nothing to wait for; `cancel` ends it.

    Attributes:
        new: whether this poll made the client a subscriber (`MessageQueue.subscribers`).
        cursor: where the client was when it polled; "" if there was nobody to wait for.
    """

    __slots__ = ("_listener", "cursor", "new")

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.new = False
        self.cursor = ""

    def cancel(self) -> None:
        """Stop listening. The client's place is kept for `MessageQueue.reconnect_time` seconds."""
        queue = self._listener.queue
        if queue is not None:
            queue._registry.thread.check("cancel", "poll")
            self._listener.cancel()

    def __await__(self) -> Generator[Any, None, list[Event]]:
        self._mailbox()
        if not self._listener.once:
            raise TypeError("poll is not awaited: async for events in mq.poll(client_id)")
        return self._once().__await__()

    async def _once(self) -> list[Event]:
        return await self._mailbox().take() or []

    def __aiter__(self) -> Poll:
        if self._listener.once:
            raise TypeError("poll_once is not iterated: events = await mq.poll_once(client_id)")
        self._mailbox()
        return self

    async def __anext__(self) -> list[Event]:
        try:
            batch = await self._mailbox().take()
        except ClientDisconnect:
            batch = None
        if batch is None:
            raise StopAsyncIteration
        return batch

    def _mailbox(self) -> Mailbox:
        if not isinstance(self._listener, Mailbox):
            raise TypeError(
                "a poll with a callback cannot be awaited: leave the callback out, or do not "
                "return the poll from a handler's method or to IOLoop.add_callback"
            )
        return self._listener

    def __del__(self) -> None:
        # Nobody can ask this mailbox any more. (A long poll whose events were taken goes on until
        # the answer is out.)
        listener, queue = self._listener, self._listener.queue
        if queue is None or not isinstance(listener, Mailbox):
            return
        if not (listener.once and listener.taken):
            queue._registry.thread.run(listener.cancel)
