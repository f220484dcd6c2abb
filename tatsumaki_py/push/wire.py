"""Both ends of a stream: who has it, and what takes its bytes."""

from __future__ import annotations

from typing import Protocol

__all__ = ["CLOSED", "Owner", "Wire"]


class Owner(Protocol):
    """Who has a stream, and says how it lives; see `tatsumaki_py.Handler`."""

    @property
    def heartbeat_interval(self) -> float | None:
        """Seconds between two signs of life, if there are any."""

    @property
    def max_stream_time(self) -> float | None:
        """Seconds after which it is ended, if it is."""

    @property
    def max_stream_size(self) -> int | None:
        """Bytes after which it is ended, if it is."""

    def _stream_closed(self, lost: bool) -> None:
        """The peer went, or was cut off; see `tatsumaki_py.message_queue.peer.Watcher.left`."""

    def _stream_expired(self) -> bool:
        """It has lasted long enough, and all is sent: finish it. False: there is more to come
        first, ask again.
        """

    def _stream_cursor(self) -> str:
        """Where the peer is; "" if that is not known, or events are on their way."""

    def _stream_blocked(self, blocked: bool) -> None:
        """The peer does not keep up, or does so again."""


class Wire(Protocol):
    """What takes the bytes of a stream: its socket, or what stands before it."""

    def send(self, data: bytes | memoryview, /) -> int:
        """As `socket.socket.send`."""


class _Closed:
    """A wire that leads nowhere."""

    def send(self, data: bytes | memoryview, /) -> int:
        raise BrokenPipeError("the stream is closed")


CLOSED = _Closed()
