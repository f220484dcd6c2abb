"""The connection of a request, as the handler that answers it sees it.

A server's own `tornado.httputil.HTTPConnection` may be a `ClientConnection`. Any other one gets one
from `tatsumaki_py.push.tornado_connection.client_connection`.
"""

from __future__ import annotations

from collections.abc import Callable

from tatsumaki_py.push.framing import Framing
from tatsumaki_py.push.owner import Owner
from tatsumaki_py.push.stream import Stream

__all__ = ["UNKNOWN", "ClientConnection"]


class ClientConnection:
    """What a handler asks of its connection, and tells it. This one knows nothing of its client:
    the client stays, and takes all bytes at once.
    """

    __slots__ = ()

    def closed(self) -> bool:
        """Whether the server knows that the client closed the connection."""
        return False

    def hung_up(self) -> bool:
        """Whether the client closed the connection, noticed or not: it asks the kernel."""
        return False

    def was_reset(self) -> bool:
        """Whether the connection did not end in order: it was reset, or timed out."""
        return False

    def waits(self) -> None:
        """The answer waits for events from now on: notice a client that leaves, and hold less
        memory. May be called again.
        """

    def answers(self) -> None:
        """The answer does not wait any more. May be called again."""

    def when_sent(self, callback: Callable[[bool], None]) -> bool:
        """Call `callback` once when the kernel has taken all that was written, with False, or will
        never take it, with True. Returns False, and never calls it, if the kernel has it all now.
        """
        return False

    def take_over(self, framing: Framing, max_buffer: int, owner: Owner) -> Stream:
        """The stream on this connection, whose head was written. The connection has no request any
        more: nothing but the stream reads or writes.

        Args:
            framing: what events look like on it.
            max_buffer: bytes that may wait to be sent.
            owner: is told what becomes of it.
        """
        raise NotImplementedError(f"a {type(self).__name__} has no socket for a stream")


UNKNOWN = ClientConnection()
"""The connection of a handler whose stream has it, or one that is of neither kind."""
