"""The open streams of an event loop.

Rule: there is no separate list of streams. The wheel has every stream with a heartbeat, until some
time after its end, and the flusher has all others.
"""

from __future__ import annotations

from collections.abc import Iterator

from tatsumaki_py.push.flusher import Flusher
from tatsumaki_py.push.stream import Stream
from tatsumaki_py.push.wheel import Wheel

__all__ = ["open_streams"]


def open_streams() -> Iterator[Stream]:
    """The streams of the running loop. A stream that ends during the iteration is left out."""
    members = [*Wheel.current().members(), *Flusher.current().silent]
    for one in dict.fromkeys(members):
        if isinstance(one, Stream) and not one.over:
            yield one
