"""Streams that read a log themselves and are served together.

A *cohort* consists of the streams that are at the same place in one log and have the same framing.
When a burst is over, the events after that place are read and joined once, and each member gets one
`send` of the same bytes.

Rules:
1. Each stream has one `Reading`, whose `place` is the position up to which it has read. A stream
   that keeps up is a member of the cohort at its place. A blocked stream is in no cohort: it
   resumes reading at its place when the kernel has taken all of its data.
2. A reading that leaves its cohort gets another `place`, but stays in the list of members until the
   next pass. Nothing is sent to a member whose `place` is not the cohort.
3. The log is the buffer: a stream has at most one slice in memory, and slices are shared. A stream
   that is too slow for the log gets a gap.
4. The front is the cohort that keeps up. All others are late: before a late stream reads more, its
   owner is told its place.
5. A stream that fails is cut off, and the pass continues. Even if a pass fails, the members that it
   did not serve are still in a cohort.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tatsumaki_py.counters import COUNTERS
from tatsumaki_py.message_queue.lead import LeadIn
from tatsumaki_py.message_queue.peer import Readable
from tatsumaki_py.push.flusher import GROUP, Flusher
from tatsumaki_py.push.framing import Framing
from tatsumaki_py.push.member import Cohort, Member, count
from tatsumaki_py.push.pile import Pile
from tatsumaki_py.push.place import Place, Slice
from tatsumaki_py.push.stream import WOULD_BLOCK

__all__ = ["Cohorts"]

LEFT = 32
"""A cohort's list of members is rebuilt when more than this many, and more than half, have left."""


class Cohorts:
    """The streams of one log that have the same framing, by place; see
    `tatsumaki_py.message_queue.peer.Reader`.
    """

    def __init__(
        self, readable: Readable, framing: Framing, max_slice: int, flusher: Flusher
    ) -> None:
        self._readable = readable
        self._log = readable.log
        self._framing = framing
        self._max_slice = max_slice
        self._flusher = flusher
        self._key = framing, max_slice, flusher
        self._cohorts: dict[tuple[str, LeadIn | None], Cohort] = {}
        self._front: Cohort | None = None
        # The cohort that is being served. It is not in `_cohorts`.
        self._serving: Cohort | None = None
        self._streams = 0
        # The number of streams with data in flight, by the cursor before that data.
        self._held: dict[str, int] = {}
        # Slices read for single streams, shared until the end of the next pass.
        self._read: dict[tuple[str, LeadIn | None], Slice] = {}
        self._dirty = False

    @classmethod
    def of(cls, readable: Readable, framing: Framing, max_slice: int, flusher: Flusher) -> Cohorts:
        """The cohorts of `readable` with this framing, in the loop of `flusher`."""
        key = (framing, max_slice, flusher)
        cohorts = readable.readers.get(key)
        if not isinstance(cohorts, Cohorts):
            cohorts = readable.readers[key] = cls(readable, framing, max_slice, flusher)
        return cohorts

    # -- for the queue

    def follow(self) -> None:
        """The log has new events."""
        self._flusher.activity += 1
        if not self._dirty:
            self._dirty = True
            self._flusher.add(self)

    @property
    def behind(self) -> int:
        """The approximate number of `places`."""
        return len(self._held) + len(self._cohorts)

    def places(self) -> Iterable[str]:
        """The cursors after which these streams still have something to send."""
        top = self._log.top
        yield from self._held
        for cohort in self._cohorts.values():
            if cohort.cursor != top:
                yield cohort.cursor
        if self._serving is not None:
            yield self._serving.cursor

    # -- for a reading

    @property
    def top(self) -> str:
        """The newest cursor."""
        return self._log.top

    def enter(self, reading: Member) -> None:
        """A stream begins to read."""
        self._streams += 1
        self.join(reading)

    def leave(self, sent: str | None) -> None:
        """A stream has stopped reading; `sent` is the cursor that it held (`hold`), or None."""
        if sent is not None:
            self.release(sent)
        self._streams -= 1
        if not self._streams:
            del self._readable.readers[self._key]

    def join(self, reading: Member) -> None:
        """Put a stream that keeps up into the cohort at its place."""
        place = reading.place
        self.move(reading, self.at(place))
        if place.cursor != self._log.top:
            self._follow_again()
        else:
            self.look(place)

    def look(self, place: Place) -> None:
        """A stream at `place` has nothing in flight: if the log has ended and the stream has all of
        it, let the queue finish the poll.
        """
        if self._log.ended and place.cursor == self._log.top:
            self._readable.read()

    def move(self, reading: Member, place: Place) -> None:
        """`reading` is at `place` from now on."""
        reading.settle()
        before, reading.place = reading.place, place
        if isinstance(place, Cohort):
            reading.mark = place.sent
            place.members.append(reading)
        if isinstance(before, Cohort) and before is not self._serving:
            before.left += 1
            if before.left == len(before.members):
                self._drop(before)
            elif before.left > LEFT and before.left * 2 > len(before.members):
                before.members = [each for each in before.members if each.place is before]
                before.left = 0

    def hold(self, cursor: str) -> None:
        """Events after `cursor` are in flight to a stream."""
        self._held[cursor] = self._held.get(cursor, 0) + 1

    def release(self, cursor: str) -> None:
        """Undo one `hold`."""
        if self._held[cursor] == 1:
            del self._held[cursor]
        else:
            self._held[cursor] -= 1

    def is_late(self, place: Place) -> bool:
        """Whether a stream at `place` does not keep up with the front."""
        front = self._front
        return front is None or place.cursor != front.cursor

    def read(self, place: Place) -> Slice:
        """The slice after `place`, for a single stream. It is kept until the end of the next pass,
        in case other streams at that place ask for it.
        """
        read = self._read.get(place.key)
        if read is None:
            read = self._slice(place)
            self._read[place.key] = read
            self._follow_again()
        return read

    # -- the pass

    def serve(self) -> Iterator[None]:
        """Send one slice to each cohort that is not at the top; see `flusher.Batch`."""
        self._dirty = False
        try:
            top = self._log.top
            for key, cohort in [*self._cohorts.items()]:
                # The last member of the cohort may have failed during this pass.
                if cohort.cursor != top and self._cohorts.get(key) is cohort:
                    read = self._slice(cohort)
                    if len(cohort.members) > GROUP or read.end.key in self._cohorts:
                        yield from self._serve(cohort, read)
                    else:
                        self._advance(cohort, read)
                        yield
            self._read.clear()
        finally:
            top = self._log.top
            if any(cohort.cursor != top for cohort in self._cohorts.values()):
                self._follow_again()
            if self._log.ended:
                self._readable.read()

    def _advance(self, cohort: Cohort, read: Slice) -> None:
        """Serve a small cohort by moving it as a whole. There may be thousands of small cohorts,
        and this is cheaper than moving each member.
        """
        late = cohort is not self._front
        members: list[Member] = []
        self._serving = cohort
        del self._cohorts[cohort.key]
        try:
            self._send(cohort.members, cohort, read, cohort, members, late)
        finally:
            self._serving = None
            cohort.sent = cohort.sent.with_(read)
            cohort.cursor, cohort.lead = read.end.cursor, read.end.lead
            cohort.members, cohort.left = members, 0
            there = self._cohorts.setdefault(cohort.key, cohort)
            if not late or (self._front is None and cohort.cursor == self._log.top):
                self._front = there
            if there is not cohort:
                # Another stream reached that place during this pass: join its cohort.
                for reading in members:
                    self.move(reading, there)
            elif not members:
                self._drop(cohort)

    def _serve(self, cohort: Cohort, read: Slice) -> Iterator[None]:
        late = cohort is not self._front
        self._serving = cohort
        self._drop(cohort)
        members, served = cohort.members, 0
        try:
            while served < len(members):
                # Look the target up for each group: it is dropped when its last member leaves.
                target = self._target(cohort, read)
                if not late:
                    self._front = target
                group = members[served : served + GROUP]
                self._send(group, cohort, read, target, target.members, late)
                served += GROUP
                if target.left == len(target.members):
                    self._drop(target)
                yield
        finally:
            self._serving = None
            if served < len(members):
                for reading in members:
                    if reading.place is cohort:
                        self.move(reading, self.at(cohort))

    def _send(
        self,
        group: list[Member],
        cohort: Cohort,
        read: Slice,
        target: Cohort,
        members: list[Member],
        late: bool,
    ) -> None:
        """Send `read` to the members of a group that are still in `cohort`. These members move to
        `target`, and are appended to `members`.
        """
        data, size = read.data, len(read.data)
        append, before = members.append, len(members)
        fatal: BaseException | None = None
        for reading in group:
            if reading.place is not cohort:
                continue
            stream = reading.stream
            try:
                if late:
                    stream.tell_late(cohort.cursor)
                if stream.waiting is not None:
                    stream.flush()
                    if stream.blocked:
                        self._withdraw(reading, cohort.copy())
                        continue
                try:
                    sent = stream.wire.send(data) if size else 0
                except WOULD_BLOCK:
                    sent = 0
                if sent == size:
                    reading.place = target
                    append(reading)
                else:
                    self._withdraw(reading, read.end)
                    COUNTERS.gaps += read.gaps
                    stream.keep(data, sent, Pile(read.times))
            except BaseException as error:
                stream.fail(error)
                if reading.place is cohort:
                    self._withdraw(reading, cohort.copy())
                if not isinstance(error, Exception):
                    fatal = error
        if len(members) > before:
            count(members[before:], read, self._framing.traffic, late)
        if fatal is not None:
            raise fatal

    def _target(self, cohort: Cohort, read: Slice) -> Cohort:
        """The cohort that the members of `cohort` join after `read`. Adjusts `sent` of one of the
        two, so that a member's `mark` stays valid when the member moves.
        """
        target, sent = self.at(read.end), cohort.sent.with_(read)
        if target.sent != sent:
            # Recount the cohort with fewer members.
            if len(target.members) <= len(cohort.members):
                target.recount(sent)
            else:
                cohort.recount(target.sent.with_(read, -1))
        return target

    def _withdraw(self, reading: Member, place: Place) -> None:
        """Take a blocked stream out of its cohort. The stream will resume reading at `place`."""
        reading.settle()
        reading.hold()
        reading.place = place

    def _slice(self, place: Place) -> Slice:
        return Slice.of(self._log, place, self._framing, self._max_slice)

    # -- cohorts

    def at(self, place: Place) -> Cohort:
        """The cohort at `place`."""
        cohort = self._cohorts.get(place.key)
        if cohort is None:
            cohort = self._cohorts[place.key] = Cohort(place)
            if self._front is None and place.cursor == self._log.top:
                self._front = cohort
        return cohort

    def _drop(self, cohort: Cohort) -> None:
        if self._cohorts.get(cohort.key) is cohort:
            del self._cohorts[cohort.key]
            if self._front is cohort:
                self._front = None

    def _follow_again(self) -> None:
        """There is something to send, although the log has no new event."""
        if not self._dirty:
            self._dirty = True
            self._flusher.add(self)
