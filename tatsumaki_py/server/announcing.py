"""The reports of a server: on stdout and to systemd, or, in a worker process, to the parent."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from typing import Protocol

from tatsumaki_py.control_characters import escape_controls
from tatsumaki_py.server import systemd

__all__ = ["Announcer", "Announcing"]

_log = logging.getLogger("tatsumaki")


class Announcing(Protocol):
    """The recipient of a server's reports."""

    def watch(self) -> contextlib.AbstractContextManager[None]:
        """Inside the with block, stop the servers of this process when the parent says so."""

    def sockets(self, sockets: list[socket.socket], load: Callable[[], int]) -> list[socket.socket]:
        """The listening sockets, as the server should use them; `load` counts its connections."""

    def listening(self, urls: list[str]) -> None:
        """Clients can connect."""

    async def keep_alive(self) -> None:
        """Report that the event loop is running, until cancelled."""

    def stopping(self) -> None:
        """The server begins to stop."""

    def stop(self) -> bool:
        """Stop all processes. False if there is only this one."""


class Announcer:
    """Reports on stdout and to systemd."""

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """See `Announcing.watch`."""
        yield

    def sockets(self, sockets: list[socket.socket], load: Callable[[], int]) -> list[socket.socket]:
        """See `Announcing.sockets`."""
        return sockets

    def listening(self, urls: list[str]) -> None:
        """See `Announcing.listening`."""
        for url in urls:
            _say(f"Listening on {url} (Ctrl-C stops)")
        systemd.notify("READY=1")

    async def keep_alive(self) -> None:
        """See `Announcing.keep_alive`."""
        await systemd.keep_alive(systemd.watchdog_period(), lambda: systemd.notify("WATCHDOG=1"))

    def stopping(self) -> None:
        """See `Announcing.stopping`."""
        systemd.notify("STOPPING=1")

    def stop(self) -> bool:
        """See `Announcing.stop`."""
        return False


def _say(line: str) -> None:
    try:
        print(escape_controls(line), flush=True)
    except (OSError, ValueError) as error:
        # The reader of stdout is gone, the disk is full, or the encoding lacks the characters.
        _log.warning("stdout cannot be written (%s): %s", error, line)
