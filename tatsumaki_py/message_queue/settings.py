"""The settings of a channel.

Rule: a setting that a channel does not have itself is read from its queue's class at each use, so a
    later change of the class applies to the channel.
"""

from __future__ import annotations

from typing import Any

__all__ = ["ChannelSettings", "settings_of"]


class ChannelSettings:
    """The settings of channels, with their defaults; `MessageQueue` inherits them. All but
    ``max_channels``, ``max_clients`` and ``max_size`` may also be set on one queue. In a subclass,
    a setting may be a property, which may use only ``channel`` and other settings of the queue.
    """

    channel: str
    """The name of the channel."""

    backlog_length: int = 30
    """The number of newest events that a new client gets, and that a channel keeps even after
    `reconnect_time` and `recovery_time`, within the limits below (``$BacklogLength``).
    """
    buffer_length: int = 1000
    """Maximum number of events that a channel keeps: those of the last `reconnect_time` or
    `recovery_time` seconds, and older ones for a client that lags behind. A client that needs
    dropped events gets a gap.
    """
    buffer_size: int = 16 * 1024 * 1024
    """Maximum bytes of the events that a channel keeps: their JSON, and 512 bytes for each.
    Idempotency keys may take as many bytes again.
    """
    kept_keys: int = 1000
    """The number of keys (`MessageQueue.publish`) whose last event is kept for new clients.
    Beyond that, the key that was published longest ago is evicted. These events may take at most
    half of `buffer_size`.
    """
    reconnect_time: float = 30.0
    """Seconds for which an absent client is expected back, and for which events are kept while a
    client is connected or expected back, within the limits above.
    """
    recovery_time: float = 30.0
    """Seconds for which events are kept, within the limits above, even without clients. A client
    that loses its connection has not received the events in flight, and comes back with an older
    cursor.
    """
    time_to_live: float | None = None
    """Seconds after which an event is dropped. None: only the limits above apply."""
    idle_timeout: float = 3600.0
    """Seconds without listeners and new events after which a channel is dropped."""
    idempotency_time: float = 300.0
    """Seconds for which a channel remembers an idempotency key (`MessageQueue.publish`)."""
    idempotency_keys: int = 1000
    """The number of such keys that a channel remembers; the oldest are dropped first."""
    max_size: int = 256 * 1024 * 1024
    """Maximum bytes of events and idempotency keys in all channels. Beyond that, channels without
    clients are dropped, starting with the one that has been without clients longest; if there is
    none, further events are refused with 503.
    """
    max_event_size: int = 1024 * 1024
    """Maximum bytes of JSON in one event; a larger one is refused with 413."""
    max_channels: int = 10_000
    """Maximum number of channels that hold events. Beyond that, a channel without clients is
    dropped, as for `max_size`; if there is none, an event for one more channel is refused with 503.
    """
    max_clients: int = 200_000
    """Maximum number of clients in all channels, connected or expected back. Beyond that, a new
    client is refused with 503. A client that reads several channels counts once for each.
    """


def settings_of(kind: type[ChannelSettings], own: dict[str, Any]) -> ChannelSettings:
    """The settings of a channel whose queue is of class `kind`: those in `own`, which may change,
    otherwise those of the class. `own` also has the name of the channel.

    >>> own = {"backlog_length": 5}
    >>> settings = settings_of(ChannelSettings, own)
    >>> settings.backlog_length, settings.buffer_length
    (5, 1000)
    """
    # Python's attribute lookup finds them in this order. (The queue itself would make a cycle.)
    settings = object.__new__(kind)
    settings.__dict__ = own
    return settings
