"""The thread that writes: all events that wait are one transaction (group commit).

Rules:
1. Events are written in the order in which they were given, and their results come in that order.
2. A question is answered after the events that were given before it. Events that wait go first.
3. Places of clients are written up to `LAZY` seconds later: a client whose place is not written yet
   when the process is killed gets some events again.
4. If a transaction fails, all events in it fail, and `trouble` says why until the file has been
   written again without an error for `CALM` seconds.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from tatsumaki_py.error import HTTPError
from tatsumaki_py.message_queue.engine.sqlite.file import File, said
from tatsumaki_py.message_queue.engine.sqlite.store import Place, Store, Write

__all__ = ["Question", "Writer"]

LAZY = 0.2
"""Seconds until places are written."""
SWEEP = 5.0
"""Seconds between two searches for what need not be kept any more."""
CALM = 1.0
"""Seconds without an error after which trouble is over."""
BATCH = 1000
BYTES = 4 * 1024 * 1024
"""Publishes, and bytes of events, in one transaction."""


class Question:
    """A call that reads from the file, and its `answer` or its `error`."""

    __slots__ = ("answer", "ask", "error", "tell")

    def __init__(
        self, ask: Callable[[sqlite3.Connection], Any], tell: Callable[[Question], None]
    ) -> None:
        self.ask = ask
        self.tell = tell
        """Is called with this question when it is answered, by the code that takes the results."""
        self.answer: Any = None
        self.error: Exception | None = None


Job = Write | Question


class Writer:
    """Writes to a file in a thread of its own.

    Args:
        file: the file.
        store: writes to it.
        clock: gives the time of the file's clock, in any thread.
        tell: called in the thread when there are results, or `trouble` has changed.

    Attributes:
        done: jobs that are done, in order.
        trouble: why the file cannot be written for now; "" if it can.
    """

    def __init__(
        self, file: File, store: Store, clock: Callable[[], float], tell: Callable[[], None]
    ) -> None:
        self.done: deque[Job] = deque()
        self.trouble = ""
        self._file = file
        self._store = store
        self._clock = clock
        self._tell = tell
        self._jobs: SimpleQueue[list[Job] | None] = SimpleQueue()
        self._writes: deque[Write] = deque()
        self._questions: deque[Question] = deque()
        self._places: dict[tuple[tuple[str, ...], str], Place] = {}
        self._left: set[str] = set()
        self._lazy = threading.Lock()
        self._flush_at: float | None = None
        self._sweep_at = time.monotonic() + SWEEP
        self._failed_at = 0.0
        self._wrote = self._ending = False
        self._thread = threading.Thread(target=self._run, name="tatsumaki-sqlite", daemon=True)
        self._thread.start()

    # -- for the engine, in any thread

    def put(self, jobs: list[Job]) -> None:
        """Do these jobs."""
        self._jobs.put(jobs)

    def remember(self, place: Place) -> None:
        """Write the place of a client, soon."""
        channels, client_id, *_ = place
        with self._lazy:
            self._places[channels, client_id] = place
            self._be_lazy()

    def left(self, name: str) -> None:
        """Write, soon, that the last client has left a channel."""
        with self._lazy:
            self._left.add(name)
            self._be_lazy()

    def _be_lazy(self) -> None:
        if self._flush_at is None:
            self._flush_at = time.monotonic() + LAZY
            # The thread may wait for longer than that.
            self._jobs.put([])

    def waiting_place(self, channels: tuple[str, ...], client_id: str) -> bool:
        """Whether the place of a client waits to be written."""
        return (channels, client_id) in self._places

    def end(self) -> None:
        """Do what was given, and end. It can be called again."""
        self._jobs.put(None)

    @property
    def ended(self) -> bool:
        """Whether the thread has ended."""
        return not self._thread.is_alive()

    def join(self) -> None:
        """Wait for the end of the thread."""
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def wait(self) -> None:
        """Wait until the jobs that were given are done."""
        over = threading.Event()
        self.put([Question(lambda _: over.set(), lambda _: None)])
        while not over.wait(LAZY) and not self.ended:
            pass

    # -- in the thread

    def _run(self) -> None:
        try:
            while not (self._ending and not self._writes and not self._questions):
                self._take()
                self._work()
            self._flush()
            self._attempt(lambda: self._store.end(self._clock()))
        finally:
            self._tell()

    def _take(self) -> None:
        """Take the jobs that wait; wait for one if there is nothing to do."""
        wait = not (self._writes or self._questions or self._ending)
        until = self._sweep_at if self._flush_at is None else min(self._flush_at, self._sweep_at)
        seconds = max(0.0, until - time.monotonic()) if wait else 0.0
        try:
            jobs = self._jobs.get(timeout=seconds) if seconds else self._jobs.get_nowait()
            while True:
                if jobs is None:
                    self._ending = True
                for job in jobs or ():
                    if isinstance(job, Write):
                        self._writes.append(job)
                    else:
                        self._questions.append(job)
                jobs = self._jobs.get_nowait()
        except Empty:
            pass

    def _work(self) -> None:
        if self._writes:
            self._write()
        elif self._questions:
            self._answer(self._questions.popleft())
        now = time.monotonic()
        if self._flush_at is not None and now >= self._flush_at:
            self._flush()
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP
            if self._attempt(lambda: self._store.sweep(self._clock())):
                self._sweep_at = now
        self._look_whether_it_is_over()

    def _write(self) -> None:
        writes: list[Write] = []
        size = 0
        while self._writes and len(writes) < BATCH and size < BYTES:
            write = self._writes.popleft()
            size += sum(map(len, write.bodies))
            writes.append(write)
        try:
            self._store.write(writes, self._clock())
            self._wrote = True
        except Exception as error:
            self._fail(error)
            for write in writes:
                write.error = _unavailable(error)
        self.done.extend(writes)
        self._tell()

    def _answer(self, question: Question) -> None:
        try:
            question.answer = question.ask(self._file.writer)
        except Exception as error:
            question.error = error
        self.done.append(question)
        self._tell()

    def _flush(self) -> None:
        with self._lazy:
            places, left = self._places, self._left
            if not places and not left:
                self._flush_at = None
                return
            # `waiting_place` sees them until they are written.
            places, self._left = dict(places), set()
        clock = self._clock()
        alive = [place for place in places.values() if place[3] + place[4] > clock]
        failed = self._attempt(lambda: self._store.remember(alive, left, clock)) is _FAILED
        with self._lazy:
            if failed:
                self._left |= left
            for key, place in places.items():
                gone = place[3] + place[4] <= clock
                if (gone or not failed) and self._places.get(key) is place:
                    del self._places[key]
            more = bool(self._places or self._left)
            self._flush_at = time.monotonic() + LAZY if more and not self._ending else None

    def _attempt(self, call: Callable[[], Any]) -> Any:
        """What `call` returns; `_FAILED` if the file cannot be written."""
        try:
            return call()
        except Exception as error:
            self._fail(error)
            return _FAILED

    def _fail(self, error: Exception) -> None:
        self._failed_at = time.monotonic()
        self._wrote = False
        if not self.trouble:
            self.trouble = said(error)
            self._tell()

    def _look_whether_it_is_over(self) -> None:
        if self.trouble and self._wrote and time.monotonic() >= self._failed_at + CALM:
            self.trouble = ""
            self._tell()


class _Failed:
    """False: a call that fails has nothing more to do."""

    def __bool__(self) -> bool:
        return False


_FAILED = _Failed()


def _unavailable(error: Exception) -> Exception:
    if isinstance(error, sqlite3.Error):
        return HTTPError(503, f"the event cannot be stored: {said(error)}", retry_after=1)
    return error
