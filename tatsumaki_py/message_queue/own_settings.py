"""The settings and the queue class that belong to a channel's name.

Rules:
1. A queue is freed when it is no longer referenced; the settings and the class of its channel stay.
2. At most `limit` channels have settings, and at most `limit` channels have a class. Beyond that,
   the settings, or the class, of the least recently used channel are dropped. Dropping settings
   logs a warning. (A queue that is still referenced keeps its settings and its class.)
"""

from __future__ import annotations

import difflib
import logging
from abc import ABCMeta
from itertools import islice
from typing import Any, TypeVar

__all__ = ["OwnSettings", "Settings", "check"]

_Said = TypeVar("_Said")

_log = logging.getLogger("tatsumaki")

_MISSING = object()
_OF_ALL = ("max_channels", "max_clients", "max_size")


def check(kind: type, name: str, value: object) -> None:
    """Check a setting for a queue of class `kind`.

    Raises `AttributeError` if the class has no setting of that name, or if the setting applies to
    all channels. Raises `TypeError` or `ValueError` if the value is not valid for the setting.
    """
    default = getattr(kind, name, _MISSING)
    if default is _MISSING or callable(default) or isinstance(default, property):
        raise _unknown(kind, name)
    if name in _OF_ALL:
        raise AttributeError(f"{name} applies to all channels: set {kind.__name__}.{name}")
    _check_value(name, default, value)


class Settings(ABCMeta):
    """The metaclass of a class with settings: assigning to an unknown name, or assigning a value
    that is not valid for the setting, raises an exception. (The body of a subclass may add
    attributes.)
    """

    def __setattr__(cls, name: str, value: Any) -> None:
        if not name.startswith("_"):
            default = getattr(cls, name, _MISSING)
            if default is _MISSING:
                raise _unknown(cls, name)
            _check_value(name, default, value)
        super().__setattr__(name, value)


def _unknown(kind: type, name: str) -> AttributeError:
    names = [known for known in dir(kind) if isinstance(getattr(kind, known), (int, float))]
    meant = difflib.get_close_matches(name, [*names, "time_to_live"], 1)
    hint = f": did you mean {meant[0]}?" if meant else ""
    return AttributeError(f"{kind.__name__} has no setting {name!r}{hint}")


def _check_value(name: str, default: object, value: object) -> None:
    if name == "json" and (isinstance(value, type) or not hasattr(value, "encode")):
        raise TypeError(f"json must be an object with a method encode(value) -> str, not {value!r}")
    number: object = 0.0 if value is None and name == "time_to_live" else value
    is_number = isinstance(default, (int, float)) and not isinstance(default, bool)
    if name != "time_to_live" and not is_number:
        return
    if not isinstance(number, (int, float)) or isinstance(number, bool):
        raise TypeError(f"{name} must be a number, not {value!r}")
    if not number >= 0:
        raise ValueError(f"{name} must be 0 or more, not {value!r}")


class OwnSettings:
    """The settings and classes of channels, by name.

    >>> own = OwnSettings()
    >>> own.set("news", "backlog_length", 100, limit=10)
    >>> own.settings("news")
    {'backlog_length': 100}
    """

    def __init__(self) -> None:
        self._settings: dict[str, dict[str, Any]] = {}
        self._kinds: dict[str, type] = {}

    def settings(self, channel: str) -> dict[str, Any]:
        """The settings of `channel`. This counts as a use."""
        settings = _renewed(self._settings, channel)
        return {} if settings is None else dict(settings)

    def set(self, channel: str, name: str, value: object, limit: int) -> None:
        """Store a setting; up to `limit` channels have settings."""
        self._settings[channel] = self.settings(channel) | {name: value}
        for forgotten in _beyond(self._settings, limit):
            _log.warning(
                "the settings of channel %r were dropped: more than %d channels have their own "
                "settings",
                forgotten,
                limit,
            )

    def unset(self, channel: str, name: str) -> None:
        """Drop a setting."""
        settings = self._settings.get(channel)
        if settings is not None:
            settings.pop(name, None)
            if not settings:
                del self._settings[channel]

    def kind(self, channel: str) -> type | None:
        """The class of the queue of `channel`. This counts as a use."""
        return _renewed(self._kinds, channel)

    def keep_kind(self, channel: str, kind: type, limit: int) -> None:
        """Store a class; up to `limit` channels have one. Clients may invent names of channels, so
        classes never displace settings, and dropping a class is not logged.
        """
        self._kinds.pop(channel, None)
        self._kinds[channel] = kind
        _beyond(self._kinds, limit)

    def copy(self) -> OwnSettings:
        """A copy of the settings and classes, which changes separately."""
        copy = OwnSettings()
        copy._settings = {channel: dict(own) for channel, own in self._settings.items()}
        copy._kinds = dict(self._kinds)
        return copy

    def clear(self) -> None:
        """Drop everything."""
        self._settings.clear()
        self._kinds.clear()


def _renewed(known: dict[str, _Said], channel: str) -> _Said | None:
    """The value for `channel`. This counts as a use."""
    said = known.pop(channel, None)
    if said is not None:
        known[channel] = said
    return said


def _beyond(known: dict[str, _Said], limit: int) -> list[str]:
    """Drop the oldest names beyond `limit`, and return them."""
    count = max(len(known) - max(limit, 1), 0)
    names = [*islice(known, count)]
    for name in names:
        del known[name]
    return names
