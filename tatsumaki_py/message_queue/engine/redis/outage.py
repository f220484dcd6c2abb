"""Whether Redis can be reached: one log line when it goes away, one when it is back, and the metric
`engine_up`.

Rule: Redis is away while any part of the engine cannot reach it. A broken connection that is
    replaced immediately is not an outage.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

from tatsumaki_py.counters import COUNTERS
from tatsumaki_py.error import HTTPError
from tatsumaki_py.message_queue.alarm import now

__all__ = ["Backoff", "Outage", "unavailable"]

_log = logging.getLogger("tatsumaki")


def unavailable(why: str = "Redis is away") -> HTTPError:
    """The error of a request that needs Redis during an outage. Its `Retry-After` varies, so that
    clients retry at different times.
    """
    return HTTPError(503, why, retry_after=random.randint(1, 5))


class Backoff:
    """The pauses between attempts, with jitter. Each pause is 1.5 times as long as the one before,
    up to `most` seconds.
    """

    def __init__(self, first: float, most: float) -> None:
        self._first, self._most = min(first, most), most
        self._next = self._first

    def reset(self) -> None:
        """The last attempt succeeded."""
        self._next = self._first

    def pause(self) -> float:
        """Seconds until the next attempt."""
        pause, self._next = self._next, min(self._next * 1.5, self._most)
        return pause * random.uniform(0.5, 1.0)


class Outage:
    """Which parts of the engine cannot reach Redis.

    Args:
        place: where Redis is, without a password.
        changed: called when Redis goes away, and when it is back.
    """

    def __init__(self, place: str, changed: Callable[[], None]) -> None:
        self._place = place
        self._changed = changed
        self._parts: set[str] = set()
        self._since = 0.0
        self._worked = 0.0

    @property
    def away(self) -> bool:
        """Whether Redis cannot be reached."""
        return bool(self._parts)

    def has_failed(self, part: str) -> bool:
        """Whether `part` cannot reach Redis."""
        return part in self._parts

    def failed(self, part: str, error: object, began: float) -> None:
        """An attempt of `part` to reach Redis has failed. The attempt began at `began`, by the
        loop's clock in seconds; an attempt that began before Redis came back does not count.
        """
        if began < self._worked:
            return
        was = self.away
        self._parts.add(part)
        if not was:
            self._since = now()
            COUNTERS.engine_up = 0
            _log.warning("Redis at %s is away: %s", self._place, error)
            self._changed()

    def worked(self, part: str) -> None:
        """`part` has reached Redis."""
        if part in self._parts:
            self._parts.discard(part)
            if not self._parts:
                COUNTERS.engine_up = 1
                self._worked = now()
                seconds = self._worked - self._since
                _log.warning("Redis at %s is back after %.1f s", self._place, seconds)
                self._changed()

    def end(self) -> None:
        """The engine is no longer in use."""
        self._parts.clear()
        COUNTERS.engine_up = 1
