"""The connection of a request, as its handler sees it.

The connections of our own server are `ClientConnection` objects. For any other
`tornado.httputil.HTTPConnection`, `tatsumaki_py.push.tornado_connection.client_connection` makes
one.
"""

from __future__ import annotations

from collections.abc import Callable

from tatsumaki_py.push.framing import Framing
from tatsumaki_py.push.owner import Owner
from tatsumaki_py.push.stream import Stream

__all__ = ["UNKNOWN", "ClientConnection"]


class ClientConnection:
    """Through these methods, a handler queries and notifies its connection. This base class knows
    nothing about the client, and answers as if the client stays and takes all bytes immediately.
    """

    __slots__ = ()

    def closed(self) -> bool:
        """Whether the server knows that the client closed the connection."""
        return False

    def hung_up(self) -> bool:
        """Whether the client closed the connection. Asks the kernel, because the server may not
        have noticed yet.
        """
        return False

    def was_reset(self) -> bool:
        """Whether the connection was reset or timed out, rather than closed."""
        return False

    def waits(self) -> None:
        """The answer waits for events from now on: watch for a client that leaves, and use less
        memory. May be called again.
        """

    def answers(self) -> None:
        """The answer has stopped waiting. May be called again."""

    def when_sent(self, callback: Callable[[bool], None]) -> bool:
        """Call ``callback(False)`` when the kernel has taken everything that was written, or
        ``callback(True)`` when it is clear that the kernel never will. If the kernel has already
        taken everything, returns False and never calls `callback`; otherwise returns True.
        """
        return False

    def take_over(self, framing: Framing, max_buffer: int, owner: Owner) -> Stream:
        """Make a stream on this connection after the head was written. From now on, only the stream
        reads from the connection and writes to it.

        Args:
            framing: how events are written.
            max_buffer: bytes that may wait to be sent.
            owner: the handler, which the stream notifies.
        """
        raise NotImplementedError(f"a {type(self).__name__} has no socket for a stream")


UNKNOWN = ClientConnection()
"""The connection of a handler whose stream has taken over, or a connection of an unknown class."""
