"""The end of a stream that has lasted long enough: its client comes back, perhaps elsewhere.

Rule: a stream ends when all that it was given is sent, and not in the middle of a delivery. If it
is not so far when it is due, it is asked again until it is.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tatsumaki_py.push.wheel import TICK, Wheel, jittered
from tatsumaki_py.push.wire import CLOSED, Wire

if TYPE_CHECKING:
    from tatsumaki_py.push.stream import Stream
    from tatsumaki_py.push.wire import Owner

__all__ = ["Rotation"]

JITTER = 0.1
LOOK = 60.0
"""Seconds after which it is noticed at the latest that a stream is gone."""


class Rotation:
    """Ends one stream after a time, or a number of bytes. Only streams with a limit have one."""

    __slots__ = ("_end", "_left", "_stream", "_wire")

    def __init__(self, stream: Stream, owner: Owner) -> None:
        self._stream = stream
        # Not kept without need: the wheel has this object for a while after the end of the stream.
        self._wire: Wire = CLOSED
        self._end = float("inf")
        self._left = 0.0
        if owner.max_stream_size:
            self._wire = stream.wire
            self._left = jittered(owner.max_stream_size, JITTER)
            stream.wire = self
        if owner.max_stream_time:
            delay = jittered(owner.max_stream_time, JITTER)
            self._end = asyncio.get_running_loop().time() + delay
            Wheel.current().add(self, min(delay, LOOK))

    def send(self, data: bytes | memoryview, /) -> int:
        """Counts what the stream sends."""
        sent = self._wire.send(data)
        left = self._left
        self._left -= sent
        if left > 0 >= self._left:
            self._end = 0.0
            Wheel.current().add(self, 0.0)
        return sent

    def turn(self) -> float | None:
        """Ends the stream, if it is due."""
        try:
            return self._turn()
        except Exception as error:
            self._stream.fail(error)
            return None

    def _turn(self) -> float | None:
        if self._stream.over:
            return None
        left = self._end - asyncio.get_running_loop().time()
        if left > 0:
            return min(left, LOOK)
        return None if self._stream.expire() else TICK
