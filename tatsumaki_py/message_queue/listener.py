"""Those who take a client's events: a callback, a coroutine, an iteration.

Rules:
1. A queue holds a `Listener`; a caller holds a `Poll`. A coroutine that is dropped drops its
   `Poll`, and that ends the listener.
2. A listener that ended never calls anybody again, and refers to nobody (no cycle survives it).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from tatsumaki_py.error import ClientDisconnect
from tatsumaki_py.message_queue.event import Event
from tatsumaki_py.peer import Peer

if TYPE_CHECKING:
    from tatsumaki_py.message_queue.channel import Channel
    from tatsumaki_py.message_queue.client import Client

__all__ = ["Listener", "Mailbox", "Poll"]


class Listener:
    """A callback that is called with events, once or for each delivery."""

    __slots__ = ("callback", "client", "once", "peer", "queue", "timer")

    def __init__(self, queue: Channel, callback: Callable[..., Any] | None, once: bool) -> None:
        self.queue: Channel | None = queue
        self.client: Client | None = None
        self.callback = callback
        self.once = once
        self.peer: Peer | None = None
        self.timer: asyncio.TimerHandle | None = None

    def left(self) -> None:
        """The client closed the connection."""
        if self.queue is not None:
            self.queue._left(self, ClientDisconnect())

    def cancel(self) -> None:
        """Nobody wants it any more."""
        if self.queue is not None:
            self.queue._left(self)

    def served(self) -> None:
        """The answer is complete."""
        if self.queue is not None:
            self.queue._served(self)

    def timed_out(self) -> None:
        """Nothing came in time."""
        if self.queue is not None:
            self.queue._timed_out(self)

    def stop_timer(self) -> None:
        """It is not waiting any more."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def end(self, error: Exception | None = None) -> None:
        """Take nothing any more; see rule 2."""
        self.stop_timer()
        if self.peer is not None:
            self.peer.peer_unwatch(self)
        self.queue = self.client = self.callback = self.peer = None


class Mailbox(Listener):
    """A listener for a coroutine: keeps what comes until it is asked for."""

    __slots__ = ("_taken", "_wake", "answered", "batch", "ended", "error")

    def __init__(self, queue: Channel, once: bool) -> None:
        super().__init__(queue, self.put, once)
        self.answered = False
        self.batch: list[Event] | None = None
        self.error: Exception | None = None
        self.ended = False
        self._wake: asyncio.Future[None] | None = None
        self._taken: asyncio.Future[None] | None = None

    def put(self, *events: Event) -> asyncio.Future[None] | None:
        """Called by the queue. What it returns is done when the next batch is wanted."""
        self.batch = list(events)
        self._rouse()
        if self.once:
            self.answered = True
            return None
        self._taken = asyncio.get_running_loop().create_future()
        return self._taken

    async def take(self) -> list[Event] | None:
        """The next batch, or None if there will be none."""
        if self._taken is not None and self.batch is None:
            self._taken.set_result(None)
            self._taken = None
        while self.batch is None and not self.ended:
            if self._wake is not None:
                raise RuntimeError("this poll is being waited for already")
            self._wake = asyncio.get_running_loop().create_future()
            try:
                await self._wake
            finally:
                self._wake = None
        batch, self.batch = self.batch, None
        if batch is None and self.error is not None:
            raise self.error
        return batch

    def end(self, error: Exception | None = None) -> None:
        self.ended = True
        self.error = error
        if self._taken is not None and not self._taken.done():
            self._taken.cancel()
        self._rouse()
        super().end(error)

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


class Poll:
    """What `MessageQueue.poll_once` and `MessageQueue.poll` return.

    Without a callback: ``events = await mq.poll_once(client_id)`` gives a list of `Event`, and
    ``async for events in mq.poll(client_id)`` gives one list for each delivery. A batch counts as
    received when the next one is asked for, so a slow loop is not hurried: the log keeps what it
    has not read.

    With a callback there is nothing to wait for; `cancel` ends it.
    """

    __slots__ = ("_listener",)

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def cancel(self) -> None:
        """Stop listening. The client's place is kept for `MessageQueue.reconnect_time` seconds."""
        self._listener.cancel()

    def __await__(self) -> Generator[Any, None, list[Event]]:
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
            raise TypeError("a poll with a callback is not waited for; leave the callback out")
        return self._listener

    def __del__(self) -> None:
        # Nobody can ask this mailbox any more. (A long poll that got its answer goes on until the
        # answer is out.)
        if isinstance(self._listener, Mailbox) and not self._listener.answered:
            self._listener.cancel()
