"""Where the clients are that listen with a callback, and whose callback runs.

These rules keep order when a callback publishes, polls or ends its own poll:
1. While a pass over all listeners runs, `start` is not `told`. A pass inside it leaves the rest to
   the outer one.
2. `told_now` is the listener whose callback the pass runs now, `calling` the one whose callback
   `Delivery.deliver` runs now, which may be inside the other.
3. A task that a callback started is known by the context variable `client.serving`.
4. A channel knows by `Channel._accepting` that events are being told, and drops none meanwhile.
"""

from __future__ import annotations

from tatsumaki_py.message_queue.client import Listener, Place

__all__ = ["Front"]


class Front:
    """The front of one audience.

    Attributes:
        told: the place of the clients that listen with a callback; during a pass, the one after it.
        start: during a pass, the place of the clients whose callbacks were not called yet; else the
            same.
        told_now, calling: see above.
    """

    __slots__ = ("calling", "start", "told", "told_now")

    def __init__(self, place: Place) -> None:
        self.told = self.start = place
        self.told_now: Listener | None = None
        self.calling: Listener | None = None

    @property
    def telling(self) -> bool:
        """Whether a pass runs."""
        return self.start is not self.told
