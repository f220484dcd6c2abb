"""One client of a queue: its place in the log, its state, and the listener that takes its events.

    LOADING --listen--> LISTENING --deliver--> DELIVERING --confirm--> LISTENING
    LOADING, LISTENING, DELIVERING --leave--> ABSENT --load, listen--> LOADING, LISTENING
    ABSENT --forget (not back in time)--> GONE

Rules:
1. Every change of a client's state is made in this file.
2. `place` is the last place that the client is known to have reached: it moves on `confirm`, never
   on `deliver`, so events that were on their way to a client that vanished are sent again.
3. This file uses no clock, loop or socket: callers pass the time.
4. An ended listener makes no more calls and refers to nothing, so no reference cycle remains.
5. A callback runs in the context of the code that polled, as asyncio's callbacks do, not in that of
   the publishing code. Otherwise a poll inside it would belong to the publisher's request. A plain
   method of the peer needs no context, because it runs while no request is current.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Sequence
from contextvars import Context, ContextVar, copy_context
from enum import Enum
from functools import partial
from types import FunctionType, MethodType
from typing import Any, Protocol

from tatsumaki_py.error import ClientDisconnect
from tatsumaki_py.message_queue.lead import LeadIn
from tatsumaki_py.message_queue.peer import Peer, Reading
from tatsumaki_py.message_queue.trail import Trail

__all__ = ["ABSENT", "Client", "ListenedTo", "Listener", "Place", "State", "serving"]


class State(Enum):
    """The states of a client."""

    LISTENING = "listening"
    """The client waits for events. A stream that reads the log itself stays in this state."""
    DELIVERING = "delivering"
    """Events are on their way to the client."""
    ABSENT = "absent"
    """The client is between two requests, and is expected back."""
    GONE = "gone"
    """The client was removed."""
    LOADING = "loading"
    """The client waits for the engine to load the log, or the part of the log that it needs."""


LISTENING, DELIVERING, ABSENT, GONE, LOADING = State


class Place:
    """A place in a log, and the lead-in of the clients there (`LeadIn`). Clients at the same place
    share one object.
    """

    __slots__ = ("cursor", "lead")

    def __init__(self, cursor: str, lead: LeadIn | None = None) -> None:
        self.cursor = cursor
        self.lead = lead


class Client:
    """A consumer of a queue's events, named or anonymous.

    Attributes:
        id (str): the ``client_id``, or a generated one.
        named (bool): whether the client polls with a ``client_id``, with which it can come back.
        new (bool): whether the client has received no event yet.
        state (State): the current state.
        deadline (float): while ABSENT, the time at which the client is removed (seconds of the
            event loop's clock).

    >>> client = Client("alice", Place("1-0"))
    >>> client.leave(now=100.0, reconnect_time=30.0)
    >>> client.state, client.is_late(129.9), client.is_late(130.0)
    (<State.ABSENT: 'absent'>, False, True)
    """

    __slots__ = ("deadline", "delivered", "id", "listener", "named", "new", "place", "state")

    def __init__(self, id: str, place: Place | Reading, named: bool = True) -> None:
        self.id = id
        self.named = named
        self.new = True
        self.place: Place | Reading = place
        """For a stream that reads the log itself, its `Reading`."""
        self.state = ABSENT
        self.deadline = 0.0
        self.listener: Listener | None = None
        self.delivered = place

    @property
    def cursor(self) -> str:
        """The id of the last event that the client received; "" while the engine is still looking
        for its place.
        """
        return self.place.cursor

    @property
    def lead(self) -> LeadIn | None:
        """The lead-in that the client has not finished reading; see `LeadIn`."""
        return self.place.lead if isinstance(self.place, Place) else None

    def load(self, listener: Listener) -> None:
        """`listener` will receive the client's events as soon as the engine has loaded them."""
        self.listener = listener
        self.state = LOADING

    def listen(self, listener: Listener) -> None:
        """`listener` receives the client's events from now on."""
        self.listener = listener
        self.state = LISTENING

    def deliver(self, delivered: Place | Reading) -> None:
        """Events up to `delivered` are on their way."""
        self.delivered = delivered
        self.state = DELIVERING

    def confirm(self) -> None:
        """The events on their way have arrived."""
        self.new = False
        self.place = self.delivered
        self.state = LISTENING

    def leave(self, now: float, reconnect_time: float) -> None:
        """The client has left, and is expected back until `now` + `reconnect_time`."""
        self._detach(ABSENT)
        if self.cursor:
            self.new = False
        self.deadline = now + reconnect_time

    def is_late(self, now: float) -> bool:
        """Whether the client has failed to come back in time."""
        return self.state is ABSENT and now >= self.deadline

    def forget(self) -> None:
        """The client is no longer expected back."""
        self._detach(GONE)

    def _detach(self, state: State) -> None:
        self.listener = None
        self.state = state


class ListenedTo(Protocol):
    """The audience of a listener, as the listener sees it."""

    @property
    def key(self) -> Hashable:
        """The name of the log: `Entry.log`."""

    def left(self, listener: Listener, error: Exception | None = None, lost: bool = False) -> None:
        """The client of `listener` has left, or its code has cancelled the poll. With an error, the
        events on their way are lost; for `lost`, see `Watcher.left`.
        """

    def served(self, listener: Listener) -> None:
        """The answer of `listener` is complete."""

    def received(self, listener: Listener) -> None:
        """`listener` has taken the events that it held."""

    def blocked(self, listener: Listener, blocked: bool) -> None:
        """The client of `listener` has stopped or resumed keeping up."""

    def timed_out(self, listener: Listener) -> None:
        """The timeout of `listener` has passed without an event."""

    def passes(self, listener: Listener, cursor: str) -> None:
        """The stream of `listener`, which lags behind, is about to read the events after
        `cursor`.
        """

    def check_thread(self, method: str, of: str) -> None:
        """Raise `RuntimeError` if this thread is not that of the event loop."""

    def in_thread(self, call: Callable[[], None]) -> None:
        """Make `call` in the thread of the event loop."""


class _Timer(Protocol):
    def cancel(self) -> None: ...


def _is_coroutine_function(callback: Callable[..., Any]) -> bool:
    if isinstance(callback, MethodType) and isinstance(callback.__func__, FunctionType):
        # The same as below, in a tenth of the time.
        return bool(callback.__func__.__code__.co_flags & inspect.CO_COROUTINE)
    return inspect.iscoroutinefunction(callback)


serving: ContextVar[Listener | None] = ContextVar("tatsumaki_listener", default=None)
"""The listener whose callback is running, including tasks that the callback started."""


class Listener:
    """A callback that is called with events, once or for each delivery."""

    __slots__ = (
        "audience",
        "call",
        "callback",
        "client",
        "context",
        "due",
        "given",
        "once",
        "peer",
        "raw",
        "reading",
        "timer",
        "trail",
    )

    keeps = False
    """Whether the listener holds its events until the user's code asks for them."""

    def __init__(self, audience: ListenedTo, callback: Callable[..., Any], once: bool) -> None:
        self.audience: ListenedTo | None = audience
        self.client: Client | None = None
        self.callback: Callable[..., Any] | None = callback
        self.raw: bool = getattr(callback, "takes_entries", False)
        """Whether the callback is called with entries of the log, not with events."""
        self.context: Context | None = None
        self.call: Callable[..., Any] | None = callback
        self.once = once
        self.given: Sequence[float] = ()
        """When the events of the answer to a long poll were published; see `Watcher.given`."""
        self.peer: Peer | None = None
        self.reading: Reading | None = None
        """Set for a stream that reads the log itself; its callback is not called."""
        self.due: dict[Any, None] | None = None
        """The bucket of `timeouts.Timeouts` that holds the listener, if its timeout is there."""
        self.timer: _Timer | None = None
        """Another timer, or the `Search` for the place of the client."""
        self.trail: Trail | None = None
        """Set for the stream of a named client, which may come back by name."""

    def begin(self) -> None:
        """Called when the queue has accepted the listener; see rule 5."""
        if self.raw and self.peer is not None:
            return
        assert self.callback is not None
        of_peer = self.peer is not None and getattr(self.callback, "__self__", None) is self.peer
        if of_peer and not _is_coroutine_function(self.callback):
            # Its peer is known, and a context would take memory for each subscriber.
            return
        self.context = copy_context()
        self.context.run(serving.set, self)
        self.call = partial(self.context.run, self.callback)

    # -- called by the peer; see `Watcher`

    def left(self, lost: bool) -> None:
        """The client has left; see `Watcher.left`."""
        if self.audience is not None:
            self.audience.left(self, ClientDisconnect(), lost)

    def served(self) -> None:
        """The answer is complete."""
        if self.audience is not None:
            self.audience.served(self)

    def cursor(self) -> str:
        """The cursor of the client; "" if events are on their way."""
        return self.client.cursor if self.client is not None and self.waits() else ""

    def busy(self) -> bool:
        """Whether events are on their way."""
        if self.reading is not None:
            return self.reading.busy()
        return self.client is not None and self.client.state is DELIVERING

    def blocked(self, blocked: bool) -> None:
        """The client has stopped or resumed keeping up."""
        if self.audience is not None:
            self.audience.blocked(self, blocked)

    def reads(self, cursor: str) -> None:
        """The client's stream, which lags behind, is about to read the events after `cursor`."""
        if self.audience is not None:
            self.audience.passes(self, cursor)

    # -- called by the queue and the user's code

    def cancel(self) -> None:
        """End the poll, because the user's code needs no more events."""
        if self.audience is not None:
            self.audience.left(self)

    def waits(self) -> bool:
        """Whether this is still the listener of its client, and the client has received all
        delivered events.
        """
        client = self.client
        if client is None or client.listener is not self:
            return False
        return client.state is LISTENING and (self.reading is None or not self.reading.busy())

    def timed_out(self) -> None:
        """The timeout has passed without an event."""
        if self.audience is not None:
            self.audience.timed_out(self)

    def has_all(self) -> bool:
        """Whether the user's code has taken all delivered events."""
        return True

    def note(self, cursor: str) -> None:
        """Tell the peer that the client is at `cursor`, in case the same request polls again."""
        peer, client, audience = self.peer, self.client, self.audience
        if (
            peer is not None
            and client is not None
            and audience is not None
            and not peer._peer_left()
        ):
            peer._peer_given(audience.key, client.id if client.named else None, cursor)

    def stop_timer(self) -> None:
        """Cancel the timeout."""
        if self.due is not None:
            self.due.pop(self, None)
            self.due = None
        elif self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def end(self, error: Exception | None = None) -> None:
        """Receive no more events; see rule 4."""
        self.stop_timer()
        if self.reading is not None:
            self.reading.stop()
        if self.peer is not None:
            self.peer._peer_unwatch(self)
        self.audience = self.client = self.callback = self.call = None
        self.context = self.peer = self.reading = None
