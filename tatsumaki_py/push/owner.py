"""The protocols of a stream: the handler that owns it, and the log that it reads."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Owner", "Tail"]


class Owner(Protocol):
    """The handler that owns a stream, as the stream sees it."""

    @property
    def heartbeat_interval(self) -> float | None:
        """Seconds between two heartbeats; None for no heartbeats."""

    @property
    def max_stream_time(self) -> float | None:
        """Seconds after which the stream ends; None for no limit."""

    @property
    def _stream_began(self) -> float:
        """The time when the request arrived, in seconds of the event loop's clock."""

    def _stream_closed(self, lost: bool) -> None:
        """The client left, or was cut off; see `tatsumaki_py.message_queue.peer.Watcher.left`."""

    def _stream_expired(self, retry: int | None) -> bool:
        """The stream's time is over, or the server is stopping. The stream has sent everything:
        finish it. Returns False if there is more to send first; the stream will ask again.

        Args:
            retry: milliseconds after which the client should reconnect.
        """

    def _stream_answers(self) -> bool:
        """Whether a handler's method writes the stream as its answer. When the server stops, it
        waits for the end of such a stream.
        """

    def _stream_cut(self) -> None:
        """The server is stopping, and `grace` has run out: the stream is about to be cut off."""

    def _stream_cursor(self) -> str:
        """The client's cursor; "" if it is not known, because events are in flight or the client
        polls several queues.
        """

    def _stream_blocked(self, blocked: bool) -> None:
        """The client does not keep up (True), or keeps up again (False)."""

    def _stream_reads(self, cursor: str) -> None:
        """The stream does not keep up with the log that it reads, and is about to get the events
        after `cursor`.
        """


class Tail(Protocol):
    """The log that a stream reads itself, as the stream sees it."""

    def pull(self) -> None:
        """If the stream keeps up, give it all events published so far: other data is about to be
        written, and must come after them.
        """

    def confirm(self) -> None:
        """The kernel has taken everything that the stream was given."""

    def catch_up(self) -> None:
        """If the stream keeps up, give it all events published so far and send them immediately."""

    def settle(self) -> None:
        """Update the counters of the stream (`Counted`) with the data sent to its cohort."""

    def stop(self) -> None:
        """The stream stops reading the log."""
