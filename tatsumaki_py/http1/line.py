"""A connection, as its request sees it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol

from tornado.iostream import IOStream

from tatsumaki_py.http1.client_address import ClientAddress
from tatsumaki_py.push.framing import Framing
from tatsumaki_py.push.owner import Owner
from tatsumaki_py.push.stream import Stream

__all__ = ["Line"]


class Line(Protocol):
    """The connection of a request."""

    sock: socket.socket
    address: ClientAddress
    reset: bool
    """Whether an error ended the connection."""
    max_write_buffer_size: int | None
    """Bytes that may wait to be sent; None for any number."""

    def closed(self) -> bool:
        """Whether the connection is closed, or belongs to another object."""

    @property
    def last(self) -> bool:
        """Whether the server accepts no more requests on the connection."""

    def unsent(self) -> bool:
        """Whether written bytes are still waiting for the kernel."""

    def write(self, data: bytes) -> asyncio.Future[None]:
        """Send `data`. The result is done when the kernel has taken it."""

    def answered(self, exchange: object) -> None:
        """The answer to `exchange` is complete."""

    def close(self) -> None:
        """Close the connection without notifying the handler."""

    def detach(self, exchange: object) -> IOStream:
        """Hand the connection over to the handler of `exchange`. If it already carries another
        request, return a closed stream.
        """

    def take_over(self, framing: Framing, max_buffer: int, owner: Owner) -> Stream:
        """See `ClientConnection.take_over`."""

    def hung_up(self) -> bool:
        """See `ClientConnection.hung_up`."""

    def was_reset(self) -> bool:
        """See `ClientConnection.was_reset`."""

    def waits(self) -> None:
        """The answer waits for events: make the kernel notice a client that vanishes."""

    def when_sent(self, callback: Callable[[bool], None]) -> bool:
        """See `ClientConnection.when_sent`."""
