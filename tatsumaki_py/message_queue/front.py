"""The place of the clients that listen with a callback, and the running callback.

These rules keep order when a callback publishes, polls or ends its own poll:
1. While a pass over all listeners runs, `start` differs from `told`. A nested pass leaves the rest
   to the outer pass.
2. `told_now` is the listener whose callback the pass is running, `calling` the one whose callback
   `Delivery` is running for one client. Either of these calls may be nested in the other.
3. A task that a callback started is recognized by the context variable `client.serving`.
4. While `Channel._accepting` shows that events are being delivered, the channel drops no events.
"""

from __future__ import annotations

from tatsumaki_py.message_queue.client import Listener, Place

__all__ = ["Front"]


class Front:
    """The front of one audience.

    Attributes:
        told: the place of the clients that listen with a callback; during a pass, their place after
            it.
        start: during a pass, the place of the clients whose callbacks have not been called yet;
            otherwise the same as `told`.
        told_now, calling: see rule 2.
    """

    __slots__ = ("calling", "start", "told", "told_now")

    def __init__(self, place: Place) -> None:
        self.told = self.start = place
        self.told_now: Listener | None = None
        self.calling: Listener | None = None

    @property
    def telling(self) -> bool:
        """Whether a pass is running."""
        return self.start is not self.told
