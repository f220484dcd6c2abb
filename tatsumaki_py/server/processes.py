"""The parent of the worker processes of a `Server`: it starts, watches and stops them.

Rules:
1. The parent runs no event loop, no service and no request. It keeps the listening sockets open, so
   a connection that arrives while a worker is replaced waits for another worker.
2. Until all workers have listened once, a worker that ends also ends the server, with an error of
   one line. After that, a worker that ends is replaced. If workers end soon after their start, the
   delay before the replacement grows each time.
3. A worker stops when its channel is closed: by the parent, or because the parent has died. The
   parent never sends a signal for this, because systemd signals all processes of a unit, and a
   second SIGTERM would end a worker immediately.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator

from tatsumaki_py.server import signals, systemd
from tatsumaki_py.server.announcing import Announcer
from tatsumaki_py.server.child import Child
from tatsumaki_py.server.forking import ProcessesError
from tatsumaki_py.server.turns import Turns
from tatsumaki_py.server.worker import FAILED, LISTENING, STOP, STOPPING, Worker

__all__ = ["Processes"]

_log = logging.getLogger("tatsumaki")

FIRST_DELAY = 0.1
"""Seconds until a worker that has ended is replaced. The delay doubles each time."""
LAST_DELAY = 5.0
"""The longest such delay, in seconds."""
LONG = 30.0
"""Seconds after which the delay of a worker that listens is reset, and after which the log names a
worker that has not started or ended.
"""


class Processes:
    """The worker processes of one server.

    Args:
        count: how many.
        work: serves in a worker process until it stops; returns its exit status.
        urls: the addresses, to be announced when all workers listen.
        close: closes the listening sockets of this process.
        delay: seconds during which workers that stop still accept connections.
    """

    def __init__(
        self,
        count: int,
        work: Callable[[Worker], int],
        urls: list[str],
        close: Callable[[], None],
        delay: float,
    ) -> None:
        self._count = count
        self._work = work
        self._urls = urls
        self._close = close
        self._delay = delay
        self._turns = Turns(count)
        self._children: dict[int, Child] = {}
        """The workers by process id."""
        self._due = dict.fromkeys(range(1, count + 1), 0.0)
        """When to start the missing workers, by number."""
        self._ends = dict.fromkeys(range(1, count + 1), 0)
        """How often in a row each worker has ended too soon."""
        self._ready = False
        """Whether all workers have listened once."""
        self._stopping = False
        self._closing: float | None = None
        """When this process must close the listening sockets."""
        self._closed = False
        self._failure: str | None = None
        self._announcer = Announcer()
        self._period = systemd.watchdog_period()
        self._kept_alive = 0.0

    def run(self) -> None:
        """Run until all workers have stopped. Raises `ProcessesError` if one does not start."""
        with self._woken(), signals.handled(self.stop, self._kill):
            while self._children or not self._stopping:
                self._start_due()
                self._wait()
                self._read()
                self._reap()
                self._keep_alive()
                self._name_slow()
                self._begin_stop()
        self._selector.close()
        if self._failure is not None:
            raise ProcessesError(self._failure)

    def stop(self) -> None:
        """Stop all workers. May be called at any moment in this process."""
        self._stopping = True
        with contextlib.suppress(OSError):
            self._wake.send(b"\0")

    @contextlib.contextmanager
    def _woken(self) -> Iterator[None]:
        """Let signals end the wait, including SIGCHLD."""
        awake, self._wake = socket.socketpair()
        for sock in (awake, self._wake):
            sock.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(awake, selectors.EVENT_READ)
        self._awake = awake
        wakeup = signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        self._sigchld = signal.signal(signal.SIGCHLD, lambda number, frame: None)
        try:
            yield
        finally:
            signal.signal(signal.SIGCHLD, self._sigchld or signal.SIG_DFL)
            signal.set_wakeup_fd(wakeup)
            awake.close()
            self._wake.close()

    # -- start

    def _start_due(self) -> None:
        now = time.monotonic()
        for number in [number for number, due in self._due.items() if due <= now]:
            if self._stopping:
                break
            del self._due[number]
            try:
                self._fork(number)
            except OSError as error:
                # Too many processes or descriptors, or too little memory.
                self._not_started(number, f"worker {number} cannot be started: {error.strerror}")

    def _fork(self, number: int) -> None:
        here, there = socket.socketpair()
        for sock in (here, there):
            sock.setblocking(False)
        for stream in (sys.stdout, sys.stderr):
            # Otherwise both processes would write the contents of the buffer.
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        # The worker must not run the signal handlers of this process.
        blocked = {*signals.NUMBERS, signal.SIGCHLD}
        before = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
        try:
            process = os.fork()
            if not process:
                here.close()
                self._live(number, there, before)
            # Must be known before a second signal, which kills all workers.
            self._children[process] = child = Child(number, process, here)
            child.late = child.heard + LONG
        except OSError:
            here.close()
            raise
        finally:
            there.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._selector.register(here, selectors.EVENT_READ, child)

    def _live(self, number: int, channel: socket.socket, mask: set[int | signal.Signals]) -> None:
        """Run the worker in its process, and end the process."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, self._sigchld or signal.SIG_DFL)
            signals.become_worker()
            self._selector.close()
            channels = [child.channel for child in self._children.values()]
            for sock in (self._awake, self._wake, *channels):
                sock.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            status = self._work(Worker(number, channel, self._turns, self._period))
        except SystemExit as error:
            status = _status(error.code)
        except BaseException:
            traceback.print_exc()
        finally:
            # `atexit` functions and the rest of the program belong to the parent.
            with contextlib.suppress(BaseException):
                logging.shutdown()
                sys.stdout.flush()
            os._exit(status)

    # -- watch

    def _wait(self) -> None:
        times = [*self._due.values()] if not self._stopping else []
        if self._closing is not None and not self._closed:
            times.append(self._closing)
        if self._period is not None:
            times.append(self._kept_alive + self._period / 2)
        times += [child.late for child in self._children.values() if child.late is not None]
        wait = max(min(times) - time.monotonic(), 0) if times else None
        self._selector.select(wait)
        with contextlib.suppress(BlockingIOError):
            while self._awake.recv(4096):
                pass

    def _read(self) -> None:
        for child in self._children.values():
            if child.silent:
                continue
            for report, text in child.reports():
                self._take(child, report, text)
            if child.silent:
                self._selector.unregister(child.channel)

    def _take(self, child: Child, report: str, text: str) -> None:
        child.heard = time.monotonic()
        if report == LISTENING:
            child.listens = child.heard
            child.late = child.late if self._stopping else None
            listening = [one for one in self._children.values() if one.listens and not one.leaving]
            if len(listening) == self._count:
                self._all_listen()
        elif report == STOPPING and not child.leaving:
            child.leaving = True
            child.late = child.heard + self._delay + LONG
            self._turns.leave(child.number)
            self._count_life(child)
            self._again(child.number)
        elif report == STOP:
            self.stop()
        elif report == FAILED:
            child.failure = text

    def _all_listen(self) -> None:
        if not self._ready:
            self._ready = True
            self._announcer.listening(self._urls)

    def _reap(self) -> None:
        for child in list(self._children.values()):
            process, status = os.waitpid(child.process, os.WNOHANG)
            if process:
                # Its last reports may have arrived in the meantime.
                self._read()
                del self._children[process]
                if not child.silent:
                    self._selector.unregister(child.channel)
                child.channel.close()
                self._ended(child, os.waitstatus_to_exitcode(status))

    def _ended(self, child: Child, status: int) -> None:
        text = child.end(status)
        # A new worker with this number overwrites this when it gets its first connection.
        self._turns.leave(child.number)
        if self._stopping or child.leaving:
            # A SIGTERM to all processes also ends workers that have not begun to start.
            clean = self._stopping and status in (0, -signal.SIGTERM)
            if self._failure is None and not clean:
                _log.log(logging.WARNING if status else logging.INFO, "%s", text)
        elif not self._ready:
            self._not_started(child.number, child.failure or f"{text} before it listened")
        else:
            self._count_life(child)
            self._not_started(child.number, text)

    def _not_started(self, number: int, text: str) -> None:
        """Worker `number` has ended or could not start, for the reason `text`."""
        if self._ready:
            _log.error("%s; starting it again in %g seconds", text, self._again(number))
        else:
            self._failure = self._failure or text
            self.stop()

    def _count_life(self, child: Child) -> None:
        if child.listens is not None and time.monotonic() > child.listens + LONG:
            self._ends[child.number] = 0

    def _again(self, number: int) -> float:
        """Schedule the restart of worker `number`. Returns the delay in seconds."""
        delay = min(FIRST_DELAY * 2.0 ** self._ends[number], LAST_DELAY)
        # Larger exponents would exceed `LAST_DELAY` anyway.
        self._ends[number] = min(self._ends[number] + 1, 10)
        self._due[number] = time.monotonic() + delay
        return delay

    def _keep_alive(self) -> None:
        """Report to systemd that this process is alive, and kill workers whose loop is blocked."""
        now = time.monotonic()
        if self._period is None or now < self._kept_alive + self._period / 2:
            return
        self._kept_alive = now
        systemd.notify("WATCHDOG=1")
        for child in self._children.values():
            if child.listens is not None and now > child.heard + self._period:
                _log.error("%s has been blocked for %g seconds: killing it", child, self._period)
                child.kill()

    def _name_slow(self) -> None:
        """Log the workers that do not start or end in time. If the server fails to start, kill
        them.
        """
        now = time.monotonic()
        for child in self._children.values():
            if child.late is None or now < child.late:
                continue
            child.late = None
            if not (self._stopping or child.leaving):
                _log.warning("%s is not listening after %g seconds", child, LONG)
            elif self._failure is None:
                _log.warning(
                    "%s has not ended after %g seconds: kill -9 %d ends it",
                    child,
                    LONG,
                    child.process,
                )
            else:
                child.kill()

    # -- stop

    def _begin_stop(self) -> None:
        if not self._stopping:
            return
        if self._closing is None:
            self._announcer.stopping()
            self._closing = time.monotonic() + self._delay
            for child in self._children.values():
                child.stop()
                child.late = self._closing + LONG
        if not self._closed and time.monotonic() >= self._closing:
            # Stopping workers close their sockets. A connection that arrives later is refused.
            self._closed = True
            self._close()

    def _kill(self) -> None:
        for child in self._children.values():
            child.kill()


def _status(code: object) -> int:
    """The exit status that Python would give for a `SystemExit`."""
    if code is None or isinstance(code, int):
        return (code or 0) & 0xFF
    print(code, file=sys.stderr)
    return 1
