"""One connection of a subscriber, for assertions and their error messages."""

from __future__ import annotations

from dataclasses import dataclass, field

from tatsumaki_py.testing.message import Message

__all__ = ["Attempt"]


@dataclass
class Attempt:
    """The messages of one connection. All polls up to the next reconnect count as one."""

    number: int
    """The number of the connection among those of its client, starting at 1."""
    transport: str
    """The transport, as in ``?transport=``."""
    cursor: str | None
    """The cursor that the client sent; None without one."""
    messages: list[Message] = field(default_factory=list)
    """The received messages, oldest first."""
    end: str = "open"
    """How the connection ended, in words."""

    @property
    def name(self) -> str:
        """The description of the connection in messages, such as
        ``"connection 2 (sse, reconnected after 17-0)"``.
        """
        begun = "new" if self.number == 1 else "reconnected"
        place = f"after {self.cursor}" if self.cursor else "without a cursor"
        if self.number == 1 and not self.cursor:
            return f"connection 1 ({self.transport}, new)"
        return f"connection {self.number} ({self.transport}, {begun} {place})"

    def __str__(self) -> str:
        count = len(self.messages)
        ids = [message.id for message in self.messages if message.id]
        last = f", the last one with id {ids[-1]}" if ids else ""
        return f"{self.name}: {count} message{'s' * (count != 1)}{last}; {self.end}"
