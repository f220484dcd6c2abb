"""Notices clients that close their connection while nothing reads from it, and clients that vanish.

While bytes from a client are unread, Tornado does not notice that the client closed its connection.
A client that sent more than its request, and left before the answer, would count as present until
the poll times out. This module asks the kernel instead.

If the machine or the network of a client fails, no packet reports it. TCP keep-alive probes detect
it, and the kernel reports the loss as a socket error.

Rules:
1. A descriptor is watched from `watch` until `forget`, or until it is reported. An exception raised
   by a callback is logged.
2. While any descriptor is watched, one system call polls all of them every `INTERVAL` seconds.
3. A watched descriptor is either in `_new` or registered in `_poll`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import select
import socket
import ssl
from collections.abc import Callable
from typing import Any

try:
    import fcntl
    import termios
except ImportError:
    # Windows cannot tell how much data was acknowledged.
    fcntl = termios = None  # type: ignore[assignment]

from tatsumaki_py.push.per_loop import per_loop

__all__ = ["HangUps", "ask_peer", "give_up", "hung_up", "probe", "unacknowledged", "was_reset"]

INTERVAL = 0.5
KEEP_IDLE = 15
"""Seconds of silence before the first keep-alive probe."""
KEEP_INTERVAL = 5
"""Seconds between two probes."""
KEEP_COUNT = 3
"""The number of unanswered probes after which the connection counts as lost."""
USER_TIMEOUT = 30
"""Seconds for which sent data may stay unacknowledged, and for which the peer's window may stay
closed. On Linux, this limit also ends keep-alive probing, so it must be the full probing time,
`KEEP_IDLE` + `KEEP_COUNT` * `KEEP_INTERVAL`: with less, one lost probe could end the connection.
"""
_log = logging.getLogger("tatsumaki")

# Shared, because it has no state.
_TRIED = contextlib.suppress(OSError)
_NETWORKS = (socket.AF_INET, socket.AF_INET6)
_USER_TIMEOUT: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)

# Only Linux reports that the peer has closed its side. Other systems report an error or a full
# close.
_HUNG_UP = getattr(select, "POLLRDHUP", 0)


def ask_peer(sock: socket.socket) -> None:
    """Let the kernel detect that the peer of `sock` has vanished: `probe` and `give_up`."""
    # An earlier request on this connection may have set the options. Checking takes one system
    # call, setting them takes several.
    if isinstance(sock, ssl.SSLSocket) or not _asked(sock):
        probe(sock)
        give_up(sock)


def probe(sock: socket.socket) -> None:
    """Let the kernel send keep-alive probes to the peer of `sock`. Accepted connections inherit the
    options of their listening socket.
    """
    if sock.family not in _NETWORKS:
        return
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (
        ("TCP_KEEPIDLE", KEEP_IDLE),
        ("TCP_KEEPINTVL", KEEP_INTERVAL),
        ("TCP_KEEPCNT", KEEP_COUNT),
    ):
        # Not all platforms have all of these options.
        number = getattr(socket, name, None)
        if number is not None:
            options.append((socket.IPPROTO_TCP, number, value))
    # macOS refuses options once the peer has reset the connection.
    with contextlib.suppress(OSError):
        for option in options:
            sock.setsockopt(*option)


def give_up(sock: socket.socket) -> None:
    """Let the kernel end the connection if the peer acknowledges nothing for `USER_TIMEOUT`
    seconds, and let Python report how a TLS connection ends.
    """
    if isinstance(sock, ssl.SSLSocket):
        # Python reports a TLS reset as an end without close_notify, and by default hides that.
        sock.suppress_ragged_eofs = False  # type: ignore[attr-defined]
    if _USER_TIMEOUT is not None:
        # The socket may not be TCP, or may already be closed.
        with _TRIED:
            sock.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, int(USER_TIMEOUT * 1000))


def _asked(sock: socket.socket) -> bool:
    """Whether the last option that `ask_peer` sets is set. False on systems that do not have it."""
    if _USER_TIMEOUT is None:
        return False
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT) == int(USER_TIMEOUT * 1000)
    except OSError:
        # Not a TCP socket.
        return False


class _NoPoll:
    """Replaces `select.poll` on systems without it, such as Windows, and reports nothing. On these
    systems, only Tornado notices clients that leave.
    """

    def register(self, fd: int, events: int) -> None:
        pass

    def unregister(self, fd: int) -> None:
        pass

    def poll(self, timeout: float) -> list[tuple[int, int]]:
        return []


_new_poll: Callable[[], Any] = getattr(select, "poll", _NoPoll)


def hung_up(fd: int) -> bool:
    """Whether the peer of `fd` has hung up."""
    poll = _new_poll()
    poll.register(fd, _HUNG_UP)
    return bool(poll.poll(0))


def was_reset(fd: int) -> bool:
    """Whether the connection of `fd` was reset, or timed out."""
    poll = _new_poll()
    poll.register(fd, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def unacknowledged(fd: int) -> bool:
    """Whether the peer of `fd` has not acknowledged all sent data, or the connection was reset."""
    if fcntl is None:
        return False
    try:
        waiting = fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):
        # The descriptor is closed, or does not belong to a TCP socket.
        return False
    return any(waiting) or was_reset(fd)


class HangUps:
    """Watches the clients of one loop that wait for an answer."""

    def __init__(self) -> None:
        self._poll = _new_poll()
        self._callbacks: dict[int, Callable[[], None]] = {}
        # Descriptors are registered at the next poll: most are forgotten before that.
        self._new: set[int] = set()
        self._asking = False

    @classmethod
    def current(cls) -> HangUps:
        """The `HangUps` of the running loop."""
        return per_loop(cls)

    def watch(self, fd: int, callback: Callable[[], None]) -> None:
        """Call `callback` once when the peer of `fd` hangs up."""
        if fd not in self._callbacks:
            self._new.add(fd)
        self._callbacks[fd] = callback
        if not self._asking:
            self._asking = True
            asyncio.get_running_loop().call_later(INTERVAL, self._ask)

    def forget(self, fd: int) -> None:
        """Stop watching `fd`."""
        if self._callbacks.pop(fd, None) is None:
            return
        if fd in self._new:
            self._new.remove(fd)
        else:
            self._poll.unregister(fd)

    def _ask(self) -> None:
        try:
            for fd in self._new:
                self._poll.register(fd, _HUNG_UP)
            self._new.clear()
            for fd, _ in self._poll.poll(0):
                self._report(fd)
        finally:
            self._asking = bool(self._callbacks)
            if self._asking:
                asyncio.get_running_loop().call_later(INTERVAL, self._ask)

    def _report(self, fd: int) -> None:
        # The callback of another descriptor may have called `forget` for this one.
        callback = self._callbacks.get(fd)
        self.forget(fd)
        if callback is not None:
            try:
                callback()
            except Exception:
                _log.exception("a callback failed after its client hung up")
