"""The clients of a queue: who waits, who is away, and what is kept for them.

Rules:
1. `_streams` and `_waiting` hold exactly the LISTENING clients, `_absent` exactly the ABSENT ones,
   oldest deadline first.
2. A client that is not LISTENING has its cursor pinned in the log; so has a stream that does not
   keep up, at what it has not been sent.
3. A client without a name is forgotten when it goes, since nobody can ask for it by name. Its
   place is pinned for as long as that of others all the same, once for all that were there:
   `_kept`, oldest deadline first.
4. A client is subscribed from a poll on until it is known to be gone: at once when it leaves or,
   if it has no name, when its answer is complete; otherwise when it is forgotten. `_subscribed`
   has them, with whom to tell then, once.
5. No loop is stored: timers belong to the loop that runs.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from tatsumaki_py.message_queue.callback import start
from tatsumaki_py.message_queue.client import Client
from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.message_queue.listener import Listener
from tatsumaki_py.message_queue.registry import Registry

if TYPE_CHECKING:
    from tatsumaki_py.message_queue.merged import MergedQueue

__all__ = ["Log", "Places"]

MAX_KEPT = 1000
"""Places that are kept for clients without a name; the oldest are given up first."""
TRIM_AGAIN = 0.25
"""Seconds after which events are dropped that were kept for what was not sent yet."""

_log = logging.getLogger("tatsumaki")


class Log(Protocol):
    """What a queue needs to know of its log; see `log` and `merged_log`."""

    @property
    def top(self) -> str:
        """The newest cursor."""

    def normalized(self, cursor: str) -> str:
        """`cursor`, or one that is in no life if it cannot be one."""

    def known(self, cursor: str) -> str:
        """`cursor`, or one in no life if what follows it is lost."""

    def earlier(self, one: str, other: str) -> str:
        """The one of two cursors after which more comes."""

    def later(self, one: str, other: str) -> str:
        """The one of two cursors after which less comes."""

    def since(self, cursor: str, quiet: bool = False) -> tuple[Entry, ...]:
        """The events after `cursor`, a gap where some are lost; if there are many, the first.
        Without those that only newcomers get, unless `quiet`.
        """

    def pin(self, cursor: str) -> None:
        """Somebody is still to read what comes after `cursor`."""

    def unpin(self, cursor: str) -> None:
        """Take one `pin` back."""


class Places(ABC):
    """The clients of a queue, and where they are in its log."""

    _registry: ClassVar[Registry] = Registry()

    def __init__(self, channel: str | tuple[str, ...], log: Log) -> None:
        self.channel = channel
        """Whose log it is; `Event.log` of its events."""
        self._log = log
        self._told = log.top
        self._merged: dict[tuple[str, ...], MergedQueue] = {}
        """The merged queues with clients that this one is part of."""
        self._clients: dict[str, Client] = {}
        self._streams: dict[str, Client] = {}
        self._waiting: dict[str, Client] = {}
        self._absent: dict[str, Client] = {}
        self._kept: dict[str, float] = {}
        """Deadlines, by cursor."""
        self._subscribed: dict[str, Callable[[], Any] | None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._trimmer: asyncio.TimerHandle | None = None
        self._timer_loop: weakref.ref[asyncio.AbstractEventLoop] | None = None

    @property
    @abstractmethod
    def reconnect_time(self) -> float:
        """Seconds for which a client that is away is expected back."""

    @property
    @abstractmethod
    def recovery_time(self) -> float:
        """Seconds for which what was sent may turn out not to have arrived."""

    # -- what depends on the log

    @abstractmethod
    def _lately(self) -> str:
        """A cursor before all that was published in the last `recovery_time` seconds."""

    @abstractmethod
    def _admit(self) -> str:
        """Make room for one more client; returns the cursor of one that is new. 503 if there is no
        room.
        """

    @abstractmethod
    def _width(self) -> int:
        """How many channels a client reads."""

    @abstractmethod
    def _holds_nothing(self) -> bool:
        """Whether there is no event in any of them."""

    @abstractmethod
    def _desert(self) -> None:
        """Nobody is here or expected any more."""

    @abstractmethod
    def _trim(self) -> None:
        """Drop what nobody may ask for."""

    # -- coming and going

    def _occupied(self) -> bool:
        """Whether somebody is here or expected."""
        return bool(self._clients or self._kept)

    def _enter(self, client_id: str, named: bool) -> Client:
        """A client that nobody remembers."""
        cursor = self._admit()
        client = self._clients.get(client_id)
        # Clients that made room were told so: their code may have polled with this name.
        if client is None:
            client = self._clients[client_id] = Client(client_id, cursor, named)
            self._registry.clients += self._width()
        return client

    def _ready(self, client: Client) -> None:
        """`client` has all there is and waits for the next event."""
        client.new = False
        # Perhaps there was something for newcomers only.
        client.cursor = self._log.top
        assert client.listener is not None
        (self._waiting if client.listener.once else self._streams)[client.id] = client
        self._unpin(client)

    def _park(self, client: Client) -> None:
        """`client` does not wait: keep its place in the log."""
        self._waiting.pop(client.id, None)
        self._streams.pop(client.id, None)
        if client.pinned != client.cursor:
            self._unpin(client)
            self._log.pin(client.cursor)
            client.pinned = client.cursor

    def _unpin(self, client: Client) -> None:
        if client.pinned is not None:
            self._log.unpin(client.pinned)
            client.pinned = None

    def _leave(
        self,
        client: Client,
        listener: Listener,
        error: Exception | None = None,
        *,
        expected: bool = False,
    ) -> None:
        """`client` is away from now on; `expected` is whether that was not its own doing."""
        what = "was answered" if expected else "left"
        _log.debug("client %r of channel %r %s", client.id, self.channel, what)
        listener.note(client.cursor)
        self._away(client)
        listener.end(error)
        self._arm()
        if not (expected and client.named):
            self._unsubscribe(client)

    def _away(self, client: Client) -> None:
        """It does not listen any more."""
        if client.named:
            client.leave(self._now(), self.reconnect_time)
            self._park(client)
            self._absent[client.id] = client
        else:
            self._keep(client.cursor)
            self._remove(client)
        if len(self._absent) == len(self._clients) and self._occupied():
            self._registry.vacant[self.channel] = self

    def _forget(self, client: Client) -> None:
        listener = client.listener
        self._remove(client)
        if listener is not None:
            listener.end()
        self._unsubscribe(client)

    def _remove(self, client: Client) -> None:
        client.forget()
        self._park(client)
        self._unpin(client)
        self._absent.pop(client.id, None)
        del self._clients[client.id]
        self._registry.clients -= self._width()
        if not self._occupied():
            self._desert()

    def _keep(self, cursor: str) -> None:
        if self._kept.pop(cursor, None) is None:
            self._log.pin(cursor)
            self._registry.places += self._width()
        self._kept[cursor] = self._now() + self.reconnect_time
        if len(self._kept) > MAX_KEPT:
            self._give_up([next(iter(self._kept))])

    def _give_up(self, cursors: list[str]) -> None:
        for cursor in cursors:
            del self._kept[cursor]
            self._log.unpin(cursor)
            self._registry.places -= self._width()
        if cursors and not self._occupied():
            self._desert()

    def _clear(self) -> None:
        """Forget everybody."""
        for client in list(self._clients.values()):
            self._forget(client)
        self._give_up(list(self._kept))

    # -- subscribers

    def _subscribe(self, client: Client, on_unsubscribe: Callable[[], Any] | None) -> bool:
        """Returns whether `client` was none before."""
        new = client.id not in self._subscribed
        if new or on_unsubscribe is not None:
            self._subscribed[client.id] = on_unsubscribe
        return new

    def _unsubscribe(self, client: Client) -> None:
        """`client` is gone; what this calls may do anything, so it is called last."""
        tell = self._subscribed.pop(client.id, None)
        if tell is not None:
            # Not on behalf of the request that is being handled.
            context = Context()
            start(partial(context.run, tell), context, partial(self._untold, client.id))

    def _untold(self, client_id: str, error: BaseException) -> None:
        _log.error(
            "on_unsubscribe of client %r on channel %r raised",
            client_id,
            self.channel,
            exc_info=error,
        )

    # -- time

    def _unsent(self) -> str | None:
        """Where the stream is that will send last, if it did not yet: what was written just now is
        to reach the kernel.
        """
        last = next(reversed(self._streams.values()), None)
        peer = last.listener.peer if last is not None and last.listener is not None else None
        return None if peer is None else peer._peer_unsent(self.channel)

    def _trim_soon(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            # The next event does it.
            return
        if self._trimmer is None:
            self._trimmer = loop.call_later(TRIM_AGAIN, self._trim_again)

    def _trim_again(self) -> None:
        self._trimmer = None
        self._trim()

    def _now(self) -> float:
        try:
            return asyncio.get_running_loop().time()
        except RuntimeError:
            return time.monotonic()

    def _due(self) -> float | None:
        """When there is something to forget."""
        due = [next(iter(self._absent.values())).deadline] if self._absent else []
        return min([*due, *itertools.islice(self._kept.values(), 1)], default=None)

    def _arm(self) -> None:
        """See to it that `_sweep` is called when there is something to forget."""
        when = self._due()
        if when is None:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if self._timer is not None:
            same_loop = self._timer_loop is not None and self._timer_loop() is loop
            if same_loop and self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = loop.call_at(when, self._sweep)
        self._timer_loop = weakref.ref(loop)

    def _disarm(self) -> None:
        for timer in (self._timer, self._trimmer):
            if timer is not None:
                timer.cancel()
        self._timer = self._trimmer = None

    def _sweep(self) -> None:
        """Forget the clients that did not come back."""
        self._timer = None
        try:
            self._forget_late(self._now())
            self._trim()
        finally:
            # What fails for one client must not keep the others for ever.
            self._arm()

    def _forget_late(self, now: float) -> None:
        while self._absent:
            client = next(iter(self._absent.values()))
            if not client.is_late(now):
                break
            _log.debug("client %r of channel %r did not come back", client.id, self.channel)
            self._forget(client)
        late = itertools.takewhile(lambda place: place[1] <= now, self._kept.items())
        self._give_up([cursor for cursor, _ in late])
