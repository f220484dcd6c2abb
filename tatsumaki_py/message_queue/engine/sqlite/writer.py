"""The writer thread: all waiting events go into one transaction (group commit).

Rules:
1. Events are written in the order of the calls, and their results come in that order.
2. A question is answered after the events that came before it are written. Events and questions
   take turns, so that neither can hold up the other for long.
3. Places of clients are written up to `LAZY` seconds later. If the process is killed before that, a
   client gets some events again.
4. If a transaction fails, all events in it fail.
5. Each job gets a result, even if the thread ends because of an error in the program.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from tatsumaki_py.message_queue.engine.sqlite.file import File
from tatsumaki_py.message_queue.engine.sqlite.store import Place, Store, Write

__all__ = ["Job", "Question", "Writer"]

T = TypeVar("T")

LAZY = 0.2
"""Maximum seconds until places are written."""
SWEEP = 5.0
"""Seconds between two searches for expired rows."""
BATCH = 1000
BYTES = 4 * 1024 * 1024
"""Maximum number of publishes, and bytes of events, in one transaction."""

_log = logging.getLogger("tatsumaki")


class Question:
    """A call that reads from the file, and its `answer` or `error`."""

    __slots__ = ("answer", "ask", "error", "tell")

    def __init__(
        self, ask: Callable[[sqlite3.Connection], Any], tell: Callable[[Question], None]
    ) -> None:
        self.ask = ask
        self.tell = tell
        """Called with the answered question by the code that takes the results."""
        self.answer: Any = None
        self.error: Exception | None = None


Job = Write | Question


class Writer:
    """Writes to a file in a separate thread.

    Args:
        file: the file.
        store: writes to it.
        clock: gives the time of the file's clock; any thread may call it.
        tell: called in the thread when `done` is not empty.

    Attributes:
        done: finished jobs, in order, and errors of work without a job.
        over: whether the thread accepts no more jobs.
    """

    def __init__(
        self, file: File, store: Store, clock: Callable[[], float], tell: Callable[[], None]
    ) -> None:
        self.done: deque[Job | Exception] = deque()
        self.over = False
        self._file = file
        self._store = store
        self._clock = clock
        self._tell = tell
        self._wakes: SimpleQueue[None] = SimpleQueue()
        # Held only briefly, because the event loop also takes it.
        self._lock = threading.Lock()
        self._given: deque[Job] = deque()
        self._places: dict[tuple[tuple[str, ...], str], Place] = {}
        self._left: set[str] = set()
        self._ending = False
        # Everything below belongs to the thread.
        self._writes: deque[Write] = deque()
        self._batch: list[Write] = []
        self._questions: deque[tuple[int, Question]] = deque()
        self._taken = self._written = 0
        self._flush_at: float | None = None
        self._sweep_at = time.monotonic() + SWEEP
        self._thread = threading.Thread(target=self._run, name="tatsumaki-sqlite", daemon=True)
        self._thread.start()

    # -- for the engine, in any thread. False means that the thread accepts no more jobs

    def add(self, job: Job) -> bool:
        """Add a job, which starts at the next `wake` or earlier."""
        with self._lock:
            if not self.over:
                self._given.append(job)
            return not self.over

    def wake(self) -> None:
        """Start the added jobs."""
        if self._wakes.empty():
            self._wakes.put(None)

    def remember(self, place: Place) -> bool:
        """Write the place of a client soon."""
        channels, client_id, *_ = place
        return self._soon(lambda: self._places.update({(channels, client_id): place}))

    def left(self, name: str) -> bool:
        """Record soon that the last client has left a channel."""
        return self._soon(lambda: self._left.add(name))

    def _soon(self, note: Callable[[], object]) -> bool:
        with self._lock:
            if self.over:
                return False
            first = not self._places and not self._left
            note()
        if first:
            # Otherwise, the thread could wait longer than `LAZY`.
            self.wake()
        return True

    def waiting_place(self, channels: tuple[str, ...], client_id: str) -> bool:
        """Whether the place of a client waits to be written."""
        return (channels, client_id) in self._places

    def wait(self) -> None:
        """Wait until the added jobs are done."""
        done = threading.Event()
        self.add(Question(lambda _: done.set(), lambda _: None))
        self.wake()
        while not done.wait(LAZY) and not self.over:
            pass

    def end(self) -> None:
        """Let the thread finish the added jobs and end. May be called again."""
        self._ending = True
        self.wake()

    @property
    def ended(self) -> bool:
        """Whether the thread has ended."""
        return not self._thread.is_alive()

    def join(self) -> None:
        """Wait for the end of the thread."""
        if threading.current_thread() is not self._thread:
            self._thread.join()

    # -- in the thread

    def _run(self) -> None:
        try:
            while not self._is_over():
                self._take()
                self._work()
        except BaseException as error:
            _log.critical("the writer thread of %s has ended", self._file.path, exc_info=error)
            self._give_up(error)
        self._tell()

    def _is_over(self) -> bool:
        if not self._ending or self._given or self._writes or self._questions:
            return False
        written = self._flush()
        self._try(lambda: self._store.end(self._clock()))
        with self._lock:
            # A client may have left meanwhile.
            self.over = not self._given and not (written and self._places)
        return self.over

    def _take(self) -> None:
        """Take the waiting jobs; wait for one if there is nothing to do."""
        if self._flush_at is None and (self._places or self._left):
            self._flush_at = time.monotonic() + LAZY
        if not (self._writes or self._questions or self._ending):
            until = self._sweep_at if self._flush_at is None else self._flush_at
            seconds = min(until, self._sweep_at) - time.monotonic()
            with contextlib.suppress(Empty):
                self._wakes.get(timeout=max(0.0, seconds))
        while self._given:
            job = self._given.popleft()
            if isinstance(job, Write):
                self._taken += 1
                self._writes.append(job)
            else:
                self._questions.append((self._taken, job))

    def _work(self) -> None:
        if self._writes:
            self._write()
        if self._questions and self._questions[0][0] <= self._written:
            self._answer()
        now = time.monotonic()
        if self._flush_at is not None and now >= self._flush_at:
            self._flush()
        if now >= self._sweep_at:
            more = self._try(lambda: self._store.sweep(self._clock()))
            self._sweep_at = now if more is True else now + SWEEP

    def _write(self) -> None:
        size = 0
        while self._writes and len(self._batch) < BATCH and size < BYTES:
            write = self._writes.popleft()
            size += write.size
            self._batch.append(write)
        try:
            self._file.check()
            self._store.write(self._batch, self._clock())
        except Exception as error:
            for write in self._batch:
                write.error = error
        self._written += len(self._batch)
        self.done.extend(self._batch)
        self._batch.clear()
        self._tell()

    def _answer(self) -> None:
        _, question = self._questions.popleft()
        try:
            question.answer = question.ask(self._file.writer)
        except Exception as error:
            question.error = error
        self.done.append(question)
        self._tell()

    def _flush(self) -> bool:
        """Write the waiting places. Returns whether the write succeeded."""
        self._flush_at = None
        with self._lock:
            # Keep them visible to `waiting_place` until they are written.
            places, left = dict(self._places), self._left
            self._left = set()
        if not places and not left:
            return True
        clock = self._clock()
        late = {key for key, (*_, since, seconds) in places.items() if since + seconds <= clock}
        alive = [place for key, place in places.items() if key not in late]
        failed = isinstance(self._try(lambda: self._store.remember(alive, left, clock)), Exception)
        with self._lock:
            if failed:
                self._left |= left
            for key in late if failed else places:
                if self._places.get(key) is places[key]:
                    del self._places[key]
        return not failed

    def _try(self, call: Callable[[], T]) -> T | Exception:
        """Make a call that writes. Returns its result or its error."""
        try:
            self._file.check()
            return call()
        except Exception as error:
            self.done.append(error)
            self._tell()
            return error

    def _give_up(self, error: BaseException) -> None:
        """The thread ends: fail the remaining jobs."""
        with self._lock:
            self.over = True
        why = sqlite3.OperationalError(f"the writer thread has ended: {error!r}")
        questions = [question for _, question in self._questions]
        for job in (*self._batch, *self._writes, *questions, *self._given):
            job.error = why
            self.done.append(job)
