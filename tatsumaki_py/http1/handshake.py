"""A TLS handshake on a socket that does not block."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

__all__ = ["shake_hands"]


def shake_hands(sock: ssl.SSLSocket, over: Callable[[bool], None]) -> None:
    """Go on with the handshake of `sock` whenever that is possible, and call `over` at its end:
    with True when it is complete, with False if it has failed, which is logged. The loop watches
    the socket until then, and for bytes to read also after that.
    """
    loop, descriptor = asyncio.get_running_loop(), sock.fileno()

    def go_on() -> None:
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            loop.remove_writer(descriptor)
        except ssl.SSLWantWriteError:
            loop.add_writer(descriptor, go_on)
        except OSError:
            # `strict_http` has logged it.
            over(False)
        else:
            loop.remove_writer(descriptor)
            over(True)

    loop.add_reader(descriptor, go_on)
