"""The settings of a channel.

Rule: a channel without a setting of its own has the setting of the class of its queue, also if
that is set later.
"""

from __future__ import annotations

from typing import Any

__all__ = ["ChannelSettings", "settings_of"]


class ChannelSettings:
    """The settings of channels, and their defaults: those of `MessageQueue`. All but
    ``max_channels``, ``max_clients`` and ``max_size`` may also be set on one queue. In a subclass,
    a setting may be a property, which may ask for ``channel`` and other settings, and for nothing
    else of the queue.
    """

    channel: str
    """The name of the channel."""

    backlog_length: int = 30
    """How many events a new client gets, and a channel keeps whatever their age
    (``$BacklogLength``).
    """
    buffer_length: int = 1000
    """How many events are kept at most: those of the last `reconnect_time` or `recovery_time`
    seconds, and older ones while a client that is here or expected is behind. A client that lost
    some gets a gap.
    """
    buffer_size: int = 16 * 1024 * 1024
    """How many bytes of events are kept at most: their JSON, and 512 bytes for each. Idempotency
    keys may take as many.
    """
    kept_keys: int = 1000
    """How many keys (`MessageQueue.publish`) have their last event kept for new clients. The key
    that was published longest ago goes first. These events may take half of `buffer_size`.
    """
    reconnect_time: float = 30.0
    """Seconds for which a client that is away is expected back, and for which events are kept while
    a client is here or expected, within the bounds above.
    """
    recovery_time: float = 30.0
    """Seconds for which events are kept, within the bounds above, also while no client is here. A
    client that loses its connection does not have the events that were in flight, and comes back
    with an older cursor.
    """
    time_to_live: float | None = None
    """Seconds after which an event is dropped; None keeps it as long as the lengths above allow."""
    idle_timeout: float = 3600.0
    """Seconds without a listener and without a new event after which a channel is forgotten."""
    idempotency_time: float = 300.0
    """Seconds for which a channel remembers an idempotency key (`MessageQueue.publish`)."""
    idempotency_keys: int = 1000
    """How many such keys a channel remembers; the oldest go first."""
    max_size: int = 256 * 1024 * 1024
    """Bytes of events and idempotency keys in all channels. Beyond that, the channels without
    clients are forgotten, the one that lost its last client first; if there is none, one more event
    is a 503.
    """
    max_event_size: int = 1024 * 1024
    """Bytes of JSON that one event may have; more is a 413."""
    max_channels: int = 10_000
    """Channels that hold events; one more is a 503."""
    max_clients: int = 200_000
    """Clients, listening or expected back, in all channels; one more is a 503. One that reads
    several channels counts once for each.
    """


def settings_of(kind: type[ChannelSettings], own: dict[str, Any]) -> ChannelSettings:
    """The settings of a channel whose queue is of class `kind`: those in `own`, which may change,
    else those of the class. `own` also has the name of the channel.

    >>> own = {"backlog_length": 5}
    >>> settings = settings_of(ChannelSettings, own)
    >>> settings.backlog_length, settings.buffer_length
    (5, 1000)
    """
    # Python looks up attributes in this order. (The queue itself would be a cycle.)
    settings = object.__new__(kind)
    settings.__dict__ = own
    return settings
