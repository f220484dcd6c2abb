"""Sockets that systemd passes to a service, and notifications of a service to systemd.

Sources: sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable

import tornado.autoreload

__all__ = ["activated_sockets", "keep_alive", "notify", "watchdog_period"]

_log = logging.getLogger("tatsumaki")

FIRST_DESCRIPTOR = 3
"""SD_LISTEN_FDS_START."""
NOTIFY_TIMEOUT = 1.0
"""Seconds within which systemd must accept a message."""

_told: set[str] = set()
"""Values of NOTIFY_SOCKET whose failure has been logged."""


def activated_sockets() -> list[socket.socket]:
    """The listening sockets that systemd opened for this process (socket activation), in the order
    of the socket unit; empty if there are none.

    This removes the variables LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES. Child processes do not
    inherit the sockets; only a program that Tornado's autoreload restarts does. They are
    non-blocking.

    Raises `OSError` if a descriptor is not a listening stream socket, `ValueError` if LISTEN_FDS is
    not a number.
    """
    process = os.environ.pop("LISTEN_PID", "")
    count = os.environ.pop("LISTEN_FDS", "")
    names = os.environ.pop("LISTEN_FDNAMES", "").split(":")
    if not process or not count:
        return []
    if process != str(os.getpid()):
        _log.warning(
            "systemd's sockets are not used: LISTEN_PID is %s, and this process is %d",
            process,
            os.getpid(),
        )
        return []
    if not (count.isdecimal() and len(count) < 10):
        raise ValueError(f"LISTEN_FDS must be a number, not {count!r}")
    sockets: list[socket.socket] = []
    try:
        for index, number in enumerate(range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count))):
            name = names[index] if index < len(names) else ""
            sockets.append(_activated(number, name))
    except BaseException:
        for sock in sockets:
            sock.close()
        raise

    def hand_on() -> None:
        os.environ |= {"LISTEN_PID": process, "LISTEN_FDS": count}
        os.environ["LISTEN_FDNAMES"] = ":".join(names)
        for sock in sockets:
            if sock.fileno() != -1:
                os.set_inheritable(sock.fileno(), True)

    # A reloaded program is the same process with the same descriptors.
    tornado.autoreload.add_reload_hook(hand_on)
    return sockets


def _activated(number: int, name: str) -> socket.socket:
    try:
        os.set_inheritable(number, False)
        sock = socket.socket(fileno=number)
    except OSError as error:
        raise OSError(f"descriptor {number} {name!r} of systemd: {error.strerror}") from None
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) or (
        sock.type != socket.SOCK_STREAM
    ):
        sock.close()
        raise OSError(
            f"descriptor {number} {name!r} of systemd is not a listening stream socket: "
            "the unit needs ListenStream= and Accept=no"
        )
    sock.setblocking(False)
    return sock


def notify(state: str) -> None:
    """Notify systemd, for a unit with Type=notify: ``notify("READY=1")``. Without NOTIFY_SOCKET in
    the environment this does nothing. A failure is logged once.
    """
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    # "@" stands for the zero byte of an abstract socket.
    address = f"\0{path[1:]}" if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(NOTIFY_TIMEOUT)
            sock.connect(address)
            sock.sendall(state.encode())
    except (OSError, AttributeError) as error:
        # AttributeError: a system without Unix sockets.
        if path not in _told:
            _told.add(path)
            _log.warning("systemd cannot be notified of %s at %s: %s", state, path, error)


def watchdog_period() -> float | None:
    """WatchdogSec= of the unit in seconds; None if it is missing or is for another process."""
    period = os.environ.get("WATCHDOG_USEC", "")
    process = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not period.isdecimal() or len(period) > 20 or process != str(os.getpid()):
        return None
    return int(period) / 1e6 or None


async def keep_alive(period: float | None, tell: Callable[[], None]) -> None:
    """Call `tell` twice in each `period` while the event loop is running, until cancelled. Without
    a period, return immediately.
    """
    while period is not None:
        tell()
        await asyncio.sleep(period / 2)
