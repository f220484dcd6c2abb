"""How long the events of a channel are kept.

Rules:
1. Events are kept for three reasons: they are among the newest `backlog_length`; they were
   published in the last `recovery_time` seconds or, while a client is connected or expected back,
   in the last `reconnect_time` seconds; or they follow the place of a client that lags behind. A
   log never has more than `buffer_length` events or `buffer_size` bytes.
2. `_behind` is a cursor at or before that of every client that lags behind, or None. It is lowered
   immediately, and recalculated only when events are about to be dropped.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping

from tatsumaki_py.message_queue.alarm import now
from tatsumaki_py.message_queue.log import EventLog
from tatsumaki_py.message_queue.settings import ChannelSettings
from tatsumaki_py.message_queue.source import Follower

__all__ = ["GRAIN", "Retention"]

GRAIN = 1.0
"""Seconds between two searches for the client that is furthest behind, if more than `FEW` lag
behind. Events are kept longer by this time, so that many are dropped together.
"""
FEW = 16
"""The number of lagging clients up to which each check may search all of them."""


class Retention:
    """Drops events of one log.

    Args:
        log: the log of a channel.
        settings: the settings of the channel.
        followers: the followers of the channel; they may change.
    """

    __slots__ = ("_behind", "_followers", "_held", "_log", "_looked", "_settings")

    def __init__(
        self, log: EventLog, settings: ChannelSettings, followers: Mapping[Hashable, Follower]
    ) -> None:
        self._log = log
        self._settings = settings
        self._followers = followers
        self._behind: str | None = None
        # The last cursor that was held. It is not before `_behind`, and many clients share it.
        self._held: str | None = None
        self._looked = float("-inf")

    def hold(self, cursor: str) -> None:
        """A client lags behind, at `cursor`: keep the events after it."""
        log = self._log
        if cursor not in (self._behind, self._held, log.top):
            self._behind = log.earlier(self._behind or log.top, cursor)
            self._held = cursor

    def hold_new(self, start: str) -> None:
        """Like `hold`, for clients that still need the newest events, those after `start`."""
        if self._behind is None:
            self._behind = start

    def behind(self) -> str:
        """The place of the client that is furthest behind, or an earlier place."""
        if self._behind is not None and now() - self._looked >= GRAIN:
            self._find_lowest()
        return self._log.top if self._behind is None else self._behind

    def kept_for(self) -> float:
        """Seconds for which every event is kept."""
        settings = self._settings
        # A client that comes back in time finds every event since it left.
        return max(settings.recovery_time, settings.reconnect_time if self._followers else 0)

    def due(self) -> float | None:
        """The next time at which there may be an event to drop."""
        oldest = self._log.oldest_time(self._settings.backlog_length)
        if oldest is None:
            return None
        # Events that are kept for lagging clients are checked every second.
        return max(oldest + self.kept_for() + 2 * GRAIN, now() + GRAIN)

    def lately(self) -> str:
        """A cursor before all events that were published in the last `recovery_time` seconds."""
        recovery_time = self._settings.recovery_time
        return self._log.before(now() - recovery_time - GRAIN) if recovery_time else self._log.top

    def expire(self) -> None:
        """Drop events older than `time_to_live`."""
        time_to_live = self._settings.time_to_live
        if time_to_live is not None and time_to_live != float("inf"):
            self._log.expire(int((time.time() - time_to_live) * 1000))

    def drop(self) -> None:
        """Drop the events that need not be kept; see rule 1."""
        settings, log = self._settings, self._log
        if settings.time_to_live is not None:
            self.expire()
        log.shrink(settings.buffer_length, settings.buffer_size)
        if log.kept is not None:
            log.shrink_kept(settings.kept_keys, settings.buffer_size / 2)
        oldest = log.oldest_time(settings.backlog_length)
        if oldest is not None:
            kept = self.kept_for()
            since = now() - kept - GRAIN if kept else float("inf")
            if oldest < since:
                self._drop_old(since)

    def _drop_old(self, since: float) -> None:
        self._find_lowest()
        settings = self._settings
        self._log.trim(
            settings.backlog_length,
            settings.buffer_length,
            settings.buffer_size,
            since,
            self._behind,
        )

    def _find_lowest(self) -> None:
        if self._behind is None:
            return
        few = sum(follower.behind for follower in self._followers.values()) <= FEW
        if few or now() - self._looked >= GRAIN:
            self._looked = now()
            self._held = None
            lowest: str | None = None
            for follower in self._followers.values():
                place = follower.lowest(self._log.channel)
                if place is not None:
                    lowest = place if lowest is None else self._log.earlier(lowest, place)
            self._behind = lowest
