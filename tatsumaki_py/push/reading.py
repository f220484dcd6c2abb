"""One stream that reads a log itself; see `tatsumaki_py.push.cohort`.

Rules:
1. `Reading.cursor` is the id of the last event that the kernel has taken completely. While part of
   a slice is in flight, it is the cursor before that slice, so that a client whose connection is
   lost gets the events of the slice again.
2. A stopped reading refers to no stream and no log, and keeps its cursor.
"""

from __future__ import annotations

from typing import cast

from tatsumaki_py.counters import COUNTERS
from tatsumaki_py.message_queue.lead import LeadIn
from tatsumaki_py.message_queue.peer import Readable
from tatsumaki_py.push.cohort import Cohorts
from tatsumaki_py.push.member import Cohort
from tatsumaki_py.push.place import NOTHING, Place
from tatsumaki_py.push.stream import Stream

__all__ = ["Reading"]


class Reading:
    """One stream that reads a log itself; see `tatsumaki_py.message_queue.peer.Reading`."""

    __slots__ = ("_cohorts", "_readable", "_sent", "mark", "place", "stream")

    def __init__(self, readable: Readable, cursor: str, lead: LeadIn | None) -> None:
        # None when the reading is stopped.
        self._readable: Readable | None = readable
        # None until the stream is open, and when the reading is stopped.
        self._cohorts: Cohorts | None = None
        self.stream = cast(Stream, None)
        """The stream, while the reading is in `Cohorts`."""
        self.place = Place(cursor, lead)
        # The cursor before the data in flight; None if no data is in flight.
        self._sent: str | None = None
        self.mark = NOTHING
        """`Cohort.sent` when this joined the cohort, or at the last `settle`."""

    @property
    def stopped(self) -> bool:
        """Whether this has stopped reading."""
        return self._readable is None

    def begin(self, stream: Stream) -> None:
        """The stream is open."""
        if self._readable is not None:
            self.stream = stream
            stream.tail = self
            self._cohorts = cohorts = Cohorts.of(
                self._readable, stream.framing, stream.max_slice, stream.flusher
            )
            cohorts.enter(self)
            if self._pull_slice():
                # A client that reconnects gets its backlog immediately, not at the end of a burst.
                stream.flush()

    def hold(self) -> None:
        """The events after the place are about to be sent, or the stream is blocked."""
        if self._sent is None and self._cohorts is not None:
            self._sent = self.place.cursor
            self._cohorts.hold(self._sent)

    # -- for the queue

    @property
    def cursor(self) -> str:
        """The id of the last event that the kernel has taken completely; see rule 1."""
        return self.place.cursor if self._sent is None else self._sent

    def busy(self) -> bool:
        """Whether the stream has something to send, or does not keep up."""
        if self._readable is None:
            return False
        on_its_way = self._cohorts is not None and self.stream.waiting is not None
        return on_its_way or self.place.cursor != self._readable.log.top

    def catch_up(self) -> None:
        """If the client keeps up, send it all events immediately."""
        if self._cohorts is not None:
            self.stream.flush()
            self.pull()
            self.stream.flush()

    def stop(self) -> None:
        """Stop reading. `cursor` does not change."""
        self._readable = None
        cohorts, self._cohorts = self._cohorts, None
        if cohorts is not None:
            cohorts.move(self, Place(self.cursor))
            self.stream.tail = None
            self.stream = cast(Stream, None)
            cohorts.leave(self._sent)
            self._sent = None

    # -- for the stream; see `tatsumaki_py.push.owner.Tail`

    def pull(self) -> None:
        """While the stream keeps up, give it the events published so far."""
        while self._pull_slice():
            pass

    def _pull_slice(self) -> bool:
        """Give the stream the slice after its place, if there is one and the stream keeps up.
        Returns whether it did.
        """
        cohorts, stream = self._cohorts, self.stream
        if cohorts is None or stream.blocked or self.place.cursor == cohorts.top:
            return False
        read = cohorts.read(self.place)
        if cohorts.is_late(self.place):
            stream.tell_late(self.place.cursor)
        self.hold()
        cohorts.move(self, cohorts.at(read.end))
        if read.data:
            COUNTERS.gaps += read.gaps
            stream.put(read.data, times=read.times)
        elif stream.waiting is None:
            self.confirm()
        return True

    def settle(self) -> None:
        """Update the counters of the stream with the data sent to its cohort."""
        if isinstance(self.place, Cohort):
            now, then = self.place.sent, self.mark
            self.stream.sent_events += now.events - then.events
            self.stream.sent_bytes += now.bytes - then.bytes
            self.mark = now

    def confirm(self) -> None:
        """The kernel has taken everything that the stream was given."""
        cohorts = self._cohorts
        if cohorts is not None:
            if self._sent is not None:
                cohorts.release(self._sent)
                self._sent = None
            if isinstance(self.place, Cohort):
                cohorts.look(self.place)
            else:
                cohorts.join(self)
