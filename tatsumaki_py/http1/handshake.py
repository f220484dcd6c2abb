"""A connection whose TLS handshake is not complete."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Handshake"]


class _Server(Protocol):
    """The server, as this file sees it."""

    def on_close(self, server_conn: Any) -> None:
        """This object has given up the socket."""


class Handshake:
    """Does the handshake of `sock`, which is non-blocking, and then calls `complete`. If the
    handshake fails, which is logged, or takes longer than `seconds`, the socket is closed.
    """

    __slots__ = ("_complete", "_descriptor", "_loop", "_server", "_sock", "_timer")

    # See `tatsumaki_py.http1.connection.Connection`.
    idle = True
    handler = None
    lingers = False

    def __init__(
        self, server: _Server, sock: ssl.SSLSocket, seconds: float, complete: Callable[[], None]
    ) -> None:
        self._server = server
        self._sock = sock
        self._complete = complete
        self._descriptor = sock.fileno()
        self._loop = loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds, self.close)
        loop.add_reader(self._descriptor, self._go_on)

    def _go_on(self) -> None:
        try:
            self._sock.do_handshake()
        except ssl.SSLWantReadError:
            self._loop.remove_writer(self._descriptor)
        except ssl.SSLWantWriteError:
            self._loop.add_writer(self._descriptor, self._go_on)
        except OSError:
            # `strict_http` has already logged it.
            self.close()
        else:
            self._let_go()
            self._complete()

    def _let_go(self) -> None:
        self._timer.cancel()
        self._loop.remove_reader(self._descriptor)
        self._loop.remove_writer(self._descriptor)
        self._server.on_close(self)

    def closed(self) -> bool:
        """Whether the connection is closed. After the handshake, the socket belongs to a
        `Connection`.
        """
        return self._sock.fileno() == -1

    def close(self) -> None:
        """Close the connection now."""
        if not self.closed():
            self._let_go()
            self._sock.close()
