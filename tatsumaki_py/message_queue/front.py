"""Where the clients are that listen with a callback, and whose callback runs.

These fields keep order when a callback publishes, polls or ends its own poll:
`telling` is true while a pass over all listeners runs, so a pass inside it leaves the rest to the
outer one; `told_now` is the listener whose callback the pass runs now, `calling` the one whose
callback `Delivery.deliver` runs now, which may be inside the other. A task that a callback started
is known by the context variable `client.serving`. (Beside these, a channel knows that it is in the
middle of accepting events.)
"""

from __future__ import annotations

from tatsumaki_py.message_queue.client import Listener, Place

__all__ = ["Front"]


class Front:
    """The front of one audience.

    Attributes:
        told: the place of the clients that listen with a callback; during a pass, the one after it.
        start: during a pass, the place of the clients whose callbacks were not called yet.
        telling, told_now, calling: see above.
    """

    __slots__ = ("calling", "start", "telling", "told", "told_now")

    def __init__(self, place: Place) -> None:
        self.told = self.start = place
        self.telling = False
        self.told_now: Listener | None = None
        self.calling: Listener | None = None
