"""The protocols of a stream: the handler that owns it, and the log that it reads."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Owner", "Tail"]


class Owner(Protocol):
    """The handler that owns a stream, as the stream sees it."""

    @property
    def heartbeat_interval(self) -> float | None:
        """Seconds between two heartbeats; None for none."""

    @property
    def max_stream_time(self) -> float | None:
        """Seconds after which the stream ends; None for no limit."""

    @property
    def _stream_began(self) -> float:
        """When the request arrived, in seconds of the event loop's clock."""

    def _stream_closed(self, lost: bool) -> None:
        """The peer went, or was cut off; see `tatsumaki_py.message_queue.peer.Watcher.left`."""

    def _stream_expired(self, retry: int | None) -> bool:
        """The stream has lasted long enough, or the server stops, and all is sent: finish it.
        Returns False if there is more to send first; the stream asks again.

        Args:
            retry: milliseconds after which the client should reconnect.
        """

    def _stream_answers(self) -> bool:
        """Whether the stream is an answer that a handler's method writes. A server that stops waits
        for its end.
        """

    def _stream_cut(self) -> None:
        """The server stops and `grace` is over: the stream is about to be cut off."""

    def _stream_cursor(self) -> str:
        """The client's cursor; "" if that is not known, or events are on their way."""

    def _stream_blocked(self, blocked: bool) -> None:
        """The peer does not keep up, or does so again."""

    def _stream_reads(self, cursor: str) -> None:
        """The stream does not keep up with the log that it reads, and is about to get what follows
        `cursor`.
        """


class Tail(Protocol):
    """The log that a stream reads by itself, as the stream sees it."""

    def pull(self) -> None:
        """Give the stream what was published before now, as far as it keeps up: something else is
        about to be written.
        """

    def confirm(self) -> None:
        """The kernel has taken all that the stream was given."""

    def catch_up(self) -> None:
        """Give the stream what was published before now, and send it at once."""

    def settle(self) -> None:
        """Add the counts of its time in a cohort to the stream (`Counted.sent_events`)."""

    def stop(self) -> None:
        """The stream reads no more."""
