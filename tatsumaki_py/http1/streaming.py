"""The stream that takes over a connection."""

from __future__ import annotations

import asyncio
import socket

from tatsumaki_py.http1.outgoing import Outgoing
from tatsumaki_py.push.framing import Framing
from tatsumaki_py.push.owner import Owner
from tatsumaki_py.push.pile import Pile
from tatsumaki_py.push.sockets import Relay, SocketStream

__all__ = ["stream_on"]


def stream_on(
    sock: socket.socket,
    outgoing: Outgoing | None,
    framing: Framing,
    max_buffer: int,
    owner: Owner,
    relay: Relay | None,
) -> SocketStream:
    """The stream on `sock`, which sends `outgoing` first. If `relay` is not None, the loop already
    calls it.
    """
    stream = SocketStream(sock, framing, max_buffer, owner, relay)
    if outgoing is not None:
        outgoing.release()
        # These bytes were not written to the stream, and do not count as bytes of the stream.
        stream.keep(b"", 0, Pile())
        asyncio.get_running_loop().add_writer(sock, _send_before, outgoing, stream)
    return stream


def _send_before(outgoing: Outgoing, stream: SocketStream) -> None:
    try:
        done = outgoing.send(stream.wire)
    except OSError as error:
        stream.fail(error)
        return
    if done:
        asyncio.get_running_loop().remove_writer(stream.wire)
        stream.go_on()
