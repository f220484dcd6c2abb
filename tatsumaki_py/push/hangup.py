"""Who hangs up while nobody reads from it, and who vanishes without a word.

Tornado sees that a client closes only as long as nothing of it is unread: one that sent more than
its request, and waits for the answer, could stay until its time-out. The kernel knows, so it is
asked.

Of a peer that vanished, with its machine or its network, the kernel can only know by asking it,
which TCP's keep-alive is for; what it finds comes as an error of the socket.

Rules:
1. A descriptor is watched from `watch` until `forget` or its one report. A callback that fails is
   logged.
2. As long as there is one, the kernel is asked about all, with one call, every `INTERVAL` seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import select
import socket
import ssl
import termios
from collections.abc import Callable

from tatsumaki_py.push.per_loop import per_loop

__all__ = ["HangUps", "ask_peer", "hung_up", "unacknowledged", "was_reset"]

INTERVAL = 0.5
KEEP_IDLE = 15
"""Seconds of silence after which the peer is asked whether it is there."""
KEEP_INTERVAL = 5
"""Seconds until it is asked again."""
KEEP_COUNT = 3
"""Questions without an answer after which it is given up."""
USER_TIMEOUT = 30
"""Seconds for which what was sent may be without an acknowledgement, and for which a peer may have
no room for more. Linux lets this decide about keep-alive, too: it is to be the sum of the above, or
one lost packet would be the end.
"""
_log = logging.getLogger("tatsumaki")

# Where the kernel does not tell (it is Linux's), an error or a full close is still seen.
_HUNG_UP = getattr(select, "POLLRDHUP", 0)


def ask_peer(sock: socket.socket) -> None:
    """Let the kernel find out when the peer of `sock` vanishes, if it is on a network, and Python
    tell how an encrypted connection ends.
    """
    if isinstance(sock, ssl.SSLSocket):
        # Python reports a reset as an end without a close_notify, and would hide that, too.
        sock.suppress_ragged_eofs = False  # type: ignore[attr-defined]
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (
        ("TCP_KEEPIDLE", KEEP_IDLE),
        ("TCP_KEEPINTVL", KEEP_INTERVAL),
        ("TCP_KEEPCNT", KEEP_COUNT),
        ("TCP_USER_TIMEOUT", int(USER_TIMEOUT * 1000)),
    ):
        # Not all platforms have all of them.
        number = getattr(socket, name, None)
        if number is not None:
            options.append((socket.IPPROTO_TCP, number, value))
    # macOS refuses them once the peer has reset the connection.
    with contextlib.suppress(OSError):
        for option in options:
            sock.setsockopt(*option)


def hung_up(fd: int) -> bool:
    """Whether the peer of `fd` has hung up by now."""
    poll = select.poll()
    poll.register(fd, _HUNG_UP)
    return bool(poll.poll(0))


def was_reset(fd: int) -> bool:
    """Whether the connection of `fd` was reset, or timed out."""
    poll = select.poll()
    poll.register(fd, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def unacknowledged(fd: int) -> bool:
    """Whether the peer of `fd` has not acknowledged all that was sent, or has reset the
    connection.
    """
    try:
        waiting = fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):
        # The descriptor is closed, or is of a kind that cannot tell.
        return False
    return any(waiting) or was_reset(fd)


class HangUps:
    """The clients of one loop that wait for an answer."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._asking = False

    @classmethod
    def current(cls) -> HangUps:
        """Those of the running loop."""
        return per_loop(cls)

    def watch(self, fd: int, callback: Callable[[], None]) -> None:
        """Call `callback` once when the peer of `fd` hangs up."""
        self._poll.register(fd, _HUNG_UP)
        self._callbacks[fd] = callback
        if not self._asking:
            self._asking = True
            asyncio.get_running_loop().call_later(INTERVAL, self._ask)

    def forget(self, fd: int) -> None:
        """Not any more."""
        if self._callbacks.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def _ask(self) -> None:
        try:
            for fd, _ in self._poll.poll(0):
                self._report(fd)
        finally:
            self._asking = bool(self._callbacks)
            if self._asking:
                asyncio.get_running_loop().call_later(INTERVAL, self._ask)

    def _report(self, fd: int) -> None:
        # One that was called before may have called `forget`.
        callback = self._callbacks.get(fd)
        self.forget(fd)
        if callback is not None:
            try:
                callback()
            except Exception:
                _log.exception("a client that hung up was not handled")
