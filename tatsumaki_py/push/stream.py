"""One subscriber's connection, after Tornado's HTTP code has let go of it.

Rules:
1. Only a `Stream`, and the pass of a cohort that has made sure that nothing waits, writes to its
   socket. `waiting` is what waits for the end of a burst, `_rest` what the kernel did not take (the
   stream is blocked then); both go out in order.
2. What waits is bounded by `max_buffer` bytes; a subscriber that lets more pile up is cut off, and
   comes back with its cursor.
3. The owner is told once, from the loop, that the peer went or was cut off; never after `finish` or
   `abort`.
4. Nothing is kept that an idle subscriber does not need: there are thousands of them.
5. A failure in the middle of sending, even one of its owner, is logged, and the stream is cut off:
   no caller of `flush` or `drain` meets it, as it may be busy with others.
6. A stream may read a log by itself (`tail`). Anything else that is written to it comes after what
   was published before, unless the stream is blocked.
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
"""The part of an interval by which a heartbeat may come early."""
LINGER = 30.0
"""Seconds that a peer has to take the end of its stream."""

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
        """What waits for the end of a burst, or until the stream is not blocked any more."""
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
        """Whether the kernel has not taken all that it was given, or the stream is lost."""
        return self._rest is not None or self._losing

    @property
    def max_slice(self) -> int:
        """The number of bytes that may well be written at once."""
        return self._max_buffer // 4

    def unsent(self, log: Hashable) -> str | None:
        """The id before the first event of `log` (`Entry.log`) that may not have reached the
        kernel, if there is one.
        """
        first = (self._rest and self._rest.firsts.get(log)) or first_of(self.waiting, log)
        return None if first is None else first.prev

    def send(self, event: Entry) -> Awaitable[None]:
        """Send an event, soon.

        Returns an awaitable that is done at once while the peer keeps up, else when most of what
        waits is sent. It does not fail: a peer that goes is told to the owner.
        """
        # Thousands of subscribers come here with the same event: no step more than there must be.
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
        """Send an event whose payload its handler has made; as `send`."""
        return self.write_wire(self.framing.wire(self.framing.event(event, payload)), event)

    def write(self, data: bytes, content_type: str) -> Awaitable[None]:
        """Send data that is not an event, soon; as `send`."""
        return self.write_wire(self.framing.wire(self.framing.part(data, content_type)))

    def write_wire(self, data: bytes, event: Entry | None = None) -> Awaitable[None]:
        """Send bytes that are framed already, and may be those of `event`; as `send`."""
        if self.tail is not None:
            self.tail.pull()
        return self.put(data, event)

    def put(
        self, data: bytes, event: Entry | None = None, times: Sequence[float] = ()
    ) -> Awaitable[None]:
        """As `write_wire`, without regard to the log that the stream reads; see `Pile.add`."""
        if self.waiting is None:
            if not self.dirty:
                self.flusher.wake()
            self.dirty.append(self)
        return self._add(data, event, times)

    def _pile(self) -> Pile:
        """What waits, as a pile."""
        pile = self.waiting = piled(self.waiting, self.framing)
        return pile

    def _add(self, data: bytes, event: Entry | None, times: Sequence[float]) -> Awaitable[None]:
        """Send `data` after what waits already, and see that it does not become too much."""
        if self._losing:
            return DONE
        pile = self.waiting if isinstance(self.waiting, Pile) else self._pile()
        pile.add(data, event, times)
        if self._rest is None:
            if pile.size <= self._max_buffer // 4:
                return DONE
            # The kernel may take it all.
            self.flush()
            if self._rest is None:
                return DONE
            pile = self._pile()
        left = len(self._rest.data) + pile.size
        if pile.size and left > self._max_buffer:
            _log.info("a subscriber was cut off: %d bytes waited for it", left)
            self._lose(SLOW)
            return DONE
        return DONE if left <= self._max_buffer // 4 else self.drain()

    def drain(self) -> Awaitable[None]:
        """Send at once. Returns an awaitable that is done when most of what waits is sent."""
        self.flush()
        return DONE if self._rest is None or self._losing else self._rest.out()

    def fail(self, error: BaseException) -> None:
        """`error` came up while it was sending: cut it off."""
        if not isinstance(error, OSError) and not self._losing:
            _log.error("a subscriber was cut off: sending to it failed", exc_info=error)
        self._lose(LOST if isinstance(error, OSError) else FAILED)

    def flush(self) -> None:
        """Hand to the kernel what there is; see rule 5."""
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
        """The kernel took only `sent` bytes of `data`, of what is on `pile`: it is blocked."""
        self.took(sent, 0)
        self._rest = Rest(memoryview(data)[sent:], pile)
        # So that `send` sees that it can not be quick.
        self.waiting = Pile()
        if self._owner is not None:
            self._owner._stream_blocked(True)
        self._block()

    def _progress(self, data: memoryview) -> None:
        """The kernel has taken all of `_rest` but `data`; see rule 5."""
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
        """A heartbeat is due. Returns the seconds until the next one; None: there is none."""
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
            # A client that is about to get something, or does not keep up, needs no heartbeat.
            self.write_wire(self.framing.heartbeat(owner._stream_cursor()))
        if owner.heartbeat_interval:
            return jittered(owner.heartbeat_interval, JITTER)
        self.flusher.silent.add(self)
        return None

    def expire(self, retry: int | None = None) -> bool:
        """End it, if that is possible just now. Returns whether it has ended."""
        self.flush()
        if self.tail is not None:
            self.tail.catch_up()
        owner = self._owner
        if owner is None or self._rest is not None or self._losing:
            return owner is None
        return owner._stream_expired(retry)

    def finish(self) -> None:
        """Send what there is, mark the end, close."""
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
        """Cut it off: the server stops, and `grace` is over."""
        if self._owner is not None:
            self._owner._stream_cut()
        self._lose(CUT)

    def abort(self) -> None:
        """Close at once; the peer sees that the answer is not complete."""
        self.ends(FAILED)
        self._owner = None
        self._close()

    def _lose(self, reason: str) -> None:
        """The peer is lost. Whoever is writing now finishes that first."""
        if not self._losing:
            self.ends(reason)
            self._losing = True
            # So that `send` and a cohort see that they cannot be quick.
            self.waiting = self.waiting or Pile()
            asyncio.get_running_loop().call_soon(self._gone, True)

    def _gone(self, lost: bool) -> None:
        """The peer went, in order or not (`lost`)."""
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
        """Send nothing any more."""
        self.flusher.silent.discard(self)
        if self.tail is not None:
            self.tail.stop()
        self._losing = True
        rest, self.waiting, self._rest = self._rest, None, None
        if rest is not None:
            rest.release()

    def _block(self) -> None:
        """See to it that `_rest` is sent, and call `_progress` for each part of it."""
        raise NotImplementedError

    def _shut(self) -> None:
        """Close the connection, if it is open."""
        raise NotImplementedError
