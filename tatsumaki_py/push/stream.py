"""The connection of one subscriber, after the HTTP server has handed it over.

Rules:
1. Only the `Stream` and, while nothing waits, its cohort write to the socket. `waiting` holds the
   data that waits for the end of a burst. `_rest` holds the data that the kernel did not take;
   while there is any, the stream is blocked. All data leaves in order.
2. At most `max_buffer` bytes wait. A subscriber that would exceed this is cut off, and reconnects
   with its cursor.
3. The owner is told once, in a callback of the loop, that the client left or was cut off. It is not
   told after `finish` or `abort`.
4. A stream keeps only the data that an idle subscriber needs, because there are thousands of them.
5. An exception while sending, even one that the owner raises, is logged, and the stream is cut off.
   `flush` and `drain` do not raise it, because their caller may be serving other streams.
6. A stream may read a log itself (`tail`). Other data that is written to it comes after the
   events published before it, unless the stream is blocked.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Hashable, Sequence

from tatsumaki_py.done import DONE
from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.push.counted import CLOSED, CUT, FAILED, FINISHED, LOST, SLOW, Counted
from tatsumaki_py.push.flusher import Flusher
from tatsumaki_py.push.framing import Framing
from tatsumaki_py.push.lifetime import Lifetime
from tatsumaki_py.push.owner import Owner
from tatsumaki_py.push.pile import Pile, Rest, first_of, piled
from tatsumaki_py.push.wheel import Wheel, jittered

__all__ = ["Stream"]

JITTER = 0.2
"""The fraction of the interval by which a heartbeat may come early."""
LINGER = 30.0
"""Seconds that a client has to receive the end of its stream."""

WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

_log = logging.getLogger("tatsumaki")


class Stream(Counted):
    """Writes to one subscriber; see `take_over` in `tatsumaki_py.push.sockets`."""

    __slots__ = (
        "_ending",
        "_losing",
        "_max_buffer",
        "_rest",
        "dirty",
        "flusher",
        "waiting",
        "wire",
    )

    def __init__(
        self, sock: socket.socket, framing: Framing, max_buffer: int, owner: Owner
    ) -> None:
        super().__init__(framing, owner)
        self.wire = sock
        self.waiting: Entry | Pile | None = None
        """The data that waits for the end of a burst, or until the stream is no longer blocked."""
        self._max_buffer = max_buffer
        self.flusher = Flusher.current()
        self.dirty = self.flusher.dirty
        self._rest: Rest | None = None
        self._ending = False
        self._losing = False
        wheel = Wheel.current()
        if framing.has_heartbeat and owner.heartbeat_interval:
            wheel.add(self, jittered(owner.heartbeat_interval, JITTER))
        else:
            self.flusher.silent.add(self)
        if owner.max_stream_time:
            Lifetime(self, owner.max_stream_time, wheel)

    @property
    def blocked(self) -> bool:
        """Whether the kernel has not taken all data, or the stream is lost."""
        return self._rest is not None or self._losing

    @property
    def max_slice(self) -> int:
        """The most bytes that should be written in one go."""
        return self._max_buffer // 4

    def unsent(self, log: Hashable) -> str | None:
        """The id of the event before the first event of `log` (`Entry.log`) that the kernel may not
        have taken; None if there is no such event.
        """
        first = (self._rest and self._rest.firsts.get(log)) or first_of(self.waiting, log)
        return None if first is None else first.prev

    def send(self, event: Entry) -> Awaitable[None]:
        """Send an event soon.

        Returns an awaitable that is already done while the client keeps up, and otherwise completes
        when most of the waiting data has been sent. The awaitable never fails: if the client
        leaves, the owner is told.
        """
        # Keep this short: it is called for thousands of subscribers with the same event.
        if self.waiting is None and self.tail is None:
            self.waiting = event
            dirty = self.dirty
            if not dirty:
                self.flusher.wake()
            dirty.append(self)
            return DONE
        frame = self.framing.frame(event)
        return self._add(frame, event, ()) if self.tail is None else self.write_wire(frame, event)

    def send_as(self, event: Entry, payload: bytes) -> Awaitable[None]:
        """Send an event with a `payload` that the handler made; see `send`."""
        return self.write_wire(self.framing.wire(self.framing.event(event, payload)), event)

    def write(self, data: bytes, content_type: str) -> Awaitable[None]:
        """Like `send`, for data that is not an event."""
        return self.write_wire(self.framing.wire(self.framing.part(data, content_type)))

    def write_wire(self, data: bytes, event: Entry | None = None) -> Awaitable[None]:
        """Send framed bytes, those of `event` if it is given; see `send`."""
        if self.tail is not None:
            self.tail.pull()
        return self.put(data, event)

    def put(
        self, data: bytes, event: Entry | None = None, times: Sequence[float] = ()
    ) -> Awaitable[None]:
        """Like `write_wire`, but does not pull from the log first; see `Pile.add`."""
        if self.waiting is None:
            if not self.dirty:
                self.flusher.wake()
            self.dirty.append(self)
        return self._add(data, event, times)

    def _pile(self) -> Pile:
        """The waiting data, as a pile."""
        pile = self.waiting = piled(self.waiting, self.framing)
        return pile

    def _add(self, data: bytes, event: Entry | None, times: Sequence[float]) -> Awaitable[None]:
        """Send `data` after the waiting data. Cut the stream off if too much is waiting."""
        if self._losing:
            return DONE
        pile = self.waiting if isinstance(self.waiting, Pile) else self._pile()
        pile.add(data, event, times)
        if self._rest is None:
            if pile.size <= self._max_buffer // 4:
                return DONE
            # Try the kernel first: it may take all of the data.
            self.flush()
            if self._rest is None:
                return DONE
            pile = self._pile()
        left = len(self._rest.data) + pile.size
        if pile.size and left > self._max_buffer:
            _log.info("a subscriber was cut off: %d bytes were waiting for it", left)
            self._lose(SLOW)
            return DONE
        return DONE if left <= self._max_buffer // 4 else self.drain()

    def drain(self) -> Awaitable[None]:
        """Send immediately. Returns an awaitable that completes when most of the waiting data has
        been sent.
        """
        self.flush()
        return DONE if self._rest is None or self._losing else self._rest.out()

    def fail(self, error: BaseException) -> None:
        """`error` was raised while the stream was sending: cut it off."""
        if not isinstance(error, OSError) and not self._losing:
            _log.error("a subscriber was cut off: sending to it failed", exc_info=error)
        self._lose(LOST if isinstance(error, OSError) else FAILED)

    def flush(self) -> None:
        """Hand the waiting data to the kernel; see rule 5."""
        if self.waiting is not None and not self.blocked:
            try:
                self._flush()
            except Exception as error:
                self.fail(error)

    def _flush(self) -> None:
        pile = piled(self.waiting, self.framing)
        self.waiting = None
        data = pile.parts[0] if len(pile.parts) == 1 else b"".join(pile.parts)
        try:
            sent = self.wire.send(data)
        except WOULD_BLOCK:
            sent = 0
        except BaseException:
            self._rest = Rest(memoryview(data), pile)
            raise
        if sent != len(data):
            self.keep(data, sent, pile)
            return
        self.took(sent, pile.count)
        if self.flusher.sample:
            self.look_at(pile.published(), self.flusher.sample)
        if self.tail is not None:
            self.tail.confirm()

    def keep(self, data: bytes, sent: int, pile: Pile) -> None:
        """Block: the kernel took only `sent` bytes of `data`, the bytes of the events in `pile`."""
        self.took(sent, 0)
        self._rest = Rest(memoryview(data)[sent:], pile)
        # Something must be waiting, so that `send` takes its slow path.
        self.waiting = Pile()
        if self._owner is not None:
            self._owner._stream_blocked(True)
        self._block()

    def _progress(self, data: memoryview) -> None:
        """The kernel has taken `_rest` except `data`; see rule 5."""
        try:
            self._advance(data)
        except Exception as error:
            self.fail(error)

    def _advance(self, data: memoryview) -> None:
        rest, waiting = self._rest, self.waiting
        assert rest is not None
        self.took(len(rest.data) - len(data), 0 if data else len(rest.times))
        size = waiting.size if isinstance(waiting, Pile) else 0
        if data:
            rest.data = data
            if len(data) + size <= self._max_buffer // 8:
                rest.release()
            return
        self._rest = None
        if not size:
            self.waiting = None
        self.look_at(rest.times)
        if self._owner is not None:
            self._owner._stream_blocked(False)
        if self.tail is not None:
            self.tail.confirm()
        self.flush()
        if self._rest is None:
            rest.release()
            if self._ending:
                self._close()
        else:
            self._rest.inherit(rest)

    def turn(self) -> float | None:
        """A heartbeat is due. Returns the seconds until the next one, or None."""
        try:
            return self._beat()
        except Exception as error:
            self.fail(error)
            return None

    def _beat(self) -> float | None:
        owner = self._owner
        if owner is None or self._losing:
            return None
        if self.waiting is None:
            # A client that is about to get data, or does not keep up, needs no heartbeat.
            self.write_wire(self.framing.heartbeat(owner._stream_cursor()))
        if owner.heartbeat_interval:
            return jittered(owner.heartbeat_interval, JITTER)
        self.flusher.silent.add(self)
        return None

    def expire(self, retry: int | None = None) -> bool:
        """End the stream, if that is possible now. Returns whether it has ended."""
        self.flush()
        if self.tail is not None:
            self.tail.catch_up()
        owner = self._owner
        if owner is None or self._rest is not None or self._losing:
            return owner is None
        return owner._stream_expired(retry)

    def finish(self) -> None:
        """Send the waiting data and the end of the body, then close."""
        if self.tail is not None:
            self.tail.pull()
        self.ends(FINISHED)
        self._owner = None
        if self.framing.chunked:
            self._pile().add(self.framing.last, None)
        self._ending = True
        self.flush()
        if self.tail is not None:
            self.tail.stop()
        if self._rest is None:
            self._close()
        else:
            asyncio.get_running_loop().call_later(LINGER, self._close)

    def cut(self) -> None:
        """Cut the stream off: the server is stopping, and `grace` has run out."""
        if self._owner is not None:
            self._owner._stream_cut()
        self._lose(CUT)

    def abort(self) -> None:
        """Close immediately. The client sees that the answer is not complete."""
        self.ends(FAILED)
        self._owner = None
        self._close()

    def _lose(self, reason: str) -> None:
        """The client is lost. The current caller finishes its write first."""
        if not self._losing:
            self.ends(reason)
            self._losing = True
            # Something must be waiting, so that `send` and cohorts take their slow paths.
            self.waiting = self.waiting or Pile()
            asyncio.get_running_loop().call_soon(self._gone, True)

    def _gone(self, lost: bool) -> None:
        """The client left; `lost` if the connection broke rather than being closed."""
        self.ends(LOST if lost else CLOSED)
        owner, self._owner = self._owner, None
        try:
            if owner is not None:
                owner._stream_closed(lost)
        finally:
            self._close()

    def _close(self) -> None:
        self._forget()
        self._shut()

    def _forget(self) -> None:
        """Stop sending."""
        self.flusher.silent.discard(self)
        if self.tail is not None:
            self.tail.stop()
        self._losing = True
        rest, self.waiting, self._rest = self._rest, None, None
        if rest is not None:
            rest.release()

    def _block(self) -> None:
        """Have `_rest` sent, and call `_progress` for each part of it."""
        raise NotImplementedError

    def _shut(self) -> None:
        """Close the connection, if it is open."""
        raise NotImplementedError
