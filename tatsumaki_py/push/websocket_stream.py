"""The stream of a WebSocket that Tornado reads from.

Rule: Tornado and the stream both write whole frames, and frames leave in the order in which they
were written. The stream sends nothing while Tornado's bytes wait (`WebSocketStream.wait`). Before
Tornado writes, it gets everything that is waiting in the stream (`WebSocketStream.give_way`).
"""

from __future__ import annotations

import asyncio
from typing import Any

from tornado.iostream import IOStream

from tatsumaki_py.push.counted import CLOSED, FINISHED
from tatsumaki_py.push.framing.websocket import CLOSE, WebSocket
from tatsumaki_py.push.owner import Owner
from tatsumaki_py.push.pile import Pile
from tatsumaki_py.push.sockets import IOStreamStream

__all__ = ["OrderedIOStream", "WebSocketStream"]


class WebSocketStream(IOStreamStream):
    """A stream on a connection that Tornado keeps reading from."""

    # The last write that passed waiting data to Tornado's connection.
    __slots__ = ("_last", "closing")

    def __init__(
        self, iostream: IOStream, framing: WebSocket, max_buffer: int, owner: Owner
    ) -> None:
        super().__init__(iostream, framing, max_buffer, owner)
        self.closing = False
        """Whether a close frame was sent, by the handler or as an answer to the client's."""

    def _watch(self) -> None:
        # Nothing to do: Tornado reads, so it notices when the client leaves.
        pass

    def _pass(self, data: bytes | memoryview) -> None:
        self._last = self._iostream.write(data)
        self._last.add_done_callback(self._written)

    def _written(self, written: asyncio.Future[None]) -> None:
        if written is self._last:
            super()._written(written)

    def give_way(self) -> None:
        """Tornado is about to write: pass it everything that is waiting here."""
        if self.tail is not None:
            self.tail.pull()
        self.flush()
        pile = self.waiting
        if self._rest is None or not isinstance(pile, Pile) or not pile.parts:
            return
        data = b"".join(pile.parts)
        rest, self.waiting = self._rest, Pile()
        rest.add(pile)
        rest.data = memoryview(b"".join((rest.data, data)))
        if not self._iostream.closed():
            self._pass(data)

    def wait(self) -> None:
        """Tornado has written: send nothing until its bytes have been sent."""
        if not self._iostream.writing():
            return
        if self._rest is None:
            self.keep(b"", 0, Pile())
        else:
            self._pass(b"")

    def hand_over(self) -> None:
        """Pass Tornado everything that is waiting here, and send nothing more."""
        self.ends(CLOSED if self.closing else FINISHED)
        self._owner = None
        self.give_way()
        self._let_go()
        self._forget()


class OrderedIOStream:
    """Tornado's connection, as Tornado sees it."""

    __slots__ = ("_iostream", "_stream")

    def __init__(self, iostream: IOStream, stream: WebSocketStream) -> None:
        self._iostream = iostream
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._iostream, name)

    def write(self, data: bytes) -> asyncio.Future[None]:
        """Write a frame after what was pushed."""
        self._stream.give_way()
        if data[0] & 0x0F == CLOSE:
            self._stream.closing = True
        written = self._iostream.write(data)
        self._stream.wait()
        return written
