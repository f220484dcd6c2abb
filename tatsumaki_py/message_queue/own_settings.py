"""What belongs to a channel's name: its own settings and its class.

Rules:
1. A queue is an object that goes when nobody holds it; what was said of its channel stays.
2. There are at most `limit` such channels. Beyond that the one that was asked for longest ago is
   forgotten, and the log says so. (A queue that is held still has its settings.)
"""

from __future__ import annotations

import logging
from typing import Any

__all__ = ["Own", "OwnSettings", "check"]

_log = logging.getLogger("tatsumaki")

_OF_ALL = ("max_channels", "max_clients", "max_size")


def check(kind: type, name: str, value: object) -> None:
    """Let a queue of class `kind` have that setting.

    Raises `AttributeError` if it knows none of that name, `TypeError` or `ValueError` if the value
    is no number where the class has one.
    """
    missing = object()
    default = getattr(kind, name, missing)
    if default is missing or callable(default) or isinstance(default, property):
        raise AttributeError(f"{kind.__name__} has no setting {name!r}")
    if name in _OF_ALL:
        raise AttributeError(f"{name} is of all channels: set {kind.__name__}.{name}")
    number: object = 0.0 if value is None and name == "time_to_live" else value
    if default is not None and not isinstance(default, (int, float)):
        return
    if not isinstance(number, (int, float)) or isinstance(number, bool):
        raise TypeError(f"{name} is a number, not {value!r}")
    if not number >= 0:
        raise ValueError(f"{name} is a number from 0 on, not {value!r}")


class Own:
    """What is said of one channel."""

    __slots__ = ("kind", "settings")

    def __init__(self) -> None:
        self.kind: type | None = None
        self.settings: dict[str, Any] = {}


class OwnSettings:
    """What is said of channels, by name.

    >>> own = OwnSettings()
    >>> own.of("news", limit=10).settings["backlog_length"] = 100
    >>> own.known("news").settings
    {'backlog_length': 100}
    """

    def __init__(self) -> None:
        self._known: dict[str, Own] = {}

    def known(self, channel: str) -> Own:
        """What is said of `channel`. It counts as asked for."""
        own = self._known.pop(channel, None)
        if own is None:
            return Own()
        self._known[channel] = own
        return own

    def of(self, channel: str, limit: int) -> Own:
        """The same, to be added to."""
        own = self._known[channel] = self.known(channel)
        while len(self._known) > max(limit, 1):
            forgotten = next(iter(self._known))
            del self._known[forgotten]
            _log.warning(
                "the settings of channel %r are forgotten: more than %d channels have their own",
                forgotten,
                limit,
            )
        return own

    def clear(self) -> None:
        """Forget all."""
        self._known.clear()
