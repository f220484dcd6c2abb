"""One client of a channel: its place in the log and whether it is there.

    LISTENING --deliver--> DELIVERING --confirm--> LISTENING
    LISTENING, DELIVERING --leave--> ABSENT --listen--> LISTENING
    ABSENT --forget (not back in time)--> GONE

Rules:
1. Every change of a client's state is made in this file.
2. `cursor` is the last event that the client is known to have: it moves on `confirm`, never on
   `deliver`, so that what was on its way to somebody who vanished is still to come.
3. Nothing here knows a clock, a loop or a socket: callers pass the time in.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tatsumaki_py.message_queue.listener import Listener

__all__ = ["Client", "State"]


class State(Enum):
    """What a client is doing."""

    LISTENING = "listening"
    """It has all there is and waits."""
    DELIVERING = "delivering"
    """Events are on their way to it."""
    ABSENT = "absent"
    """It is between two requests and expected back."""
    GONE = "gone"
    """It is forgotten."""


LISTENING, DELIVERING, ABSENT, GONE = State


class Client:
    """A cursor into the log of a channel, with the name of its owner.

    Attributes:
        id: the ``client_id`` that it polls with, or one made up.
        named: whether it polls with one, and so can come back by it.
        cursor: id of the last event that it has.
        state: a `State`.
        deadline: while ABSENT, the time at which it is forgotten (seconds of the event loop's
            clock).

    >>> client = Client("alice", cursor="1-0")
    >>> client.leave(now=100.0, reconnect_time=30.0)
    >>> client.state, client.is_late(129.9), client.is_late(130.0)
    (<State.ABSENT: 'absent'>, False, True)
    """

    __slots__ = (
        "callback",
        "cursor",
        "deadline",
        "delivered",
        "id",
        "listener",
        "named",
        "new",
        "pinned",
        "raw",
        "state",
    )

    def __init__(self, id: str, cursor: str, named: bool = True) -> None:
        self.id = id
        self.named = named
        self.new = True
        """Whether it has nothing yet: it gets what was appended quietly, too."""
        self.cursor = cursor
        self.state = ABSENT
        self.deadline = 0.0
        self.listener: Listener | None = None
        self.callback: Callable[..., Any] | None = None
        self.raw = False
        """Whether `callback` takes entries of the log."""
        self.delivered = cursor
        self.pinned: str | None = None
        """The cursor that the queue holds in the log for it."""

    def listen(self, listener: Listener) -> None:
        """`listener` takes its events from now on."""
        self.listener = listener
        self.callback = listener.call
        self.raw = listener.raw
        self.state = LISTENING

    def deliver(self, delivered: str) -> None:
        """Events up to `delivered` are on their way."""
        self.delivered = delivered
        self.state = DELIVERING

    def confirm(self) -> None:
        """What was on its way has arrived."""
        self.new = False
        self.cursor = self.delivered
        self.state = LISTENING

    def leave(self, now: float, reconnect_time: float) -> None:
        """Nobody listens for it now."""
        self._detach(ABSENT)
        self.new = False
        self.deadline = now + reconnect_time

    def is_late(self, now: float) -> bool:
        """Whether it did not come back in time."""
        return self.state is ABSENT and now >= self.deadline

    def forget(self) -> None:
        """It is not expected any more."""
        self._detach(GONE)

    def _detach(self, state: State) -> None:
        self.listener = None
        self.callback = None
        self.state = state
