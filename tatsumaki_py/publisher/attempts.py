"""The time limit of one call of a publisher, and the pauses between its attempts."""

from __future__ import annotations

import random
import time

from tatsumaki_py.error import HTTPError

__all__ = ["Attempts"]

FIRST, FACTOR, LONGEST = 0.05, 1.5, 1.0
"""Seconds of the first pause, the factor of each further pause, and seconds of the longest."""


class Attempts:
    """The attempts of one call.

    Args:
        timeout: total seconds for all attempts, from now on.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._until = time.monotonic() + timeout
        self._pause = FIRST
        self.sent = False
        """Whether an attempt may have succeeded without an answer."""

    def left(self, reason: str) -> float:
        """The remaining seconds. Raises 503 with `reason` if there are none."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise self._late(reason)
        return left

    def wait(self, reason: str, seconds: int = 0) -> None:
        """Pause before the next attempt, for at least `seconds`. Raises 503 with `reason` if
        there is not enough time for the pause and another attempt.
        """
        if seconds >= self.left(reason):
            raise self._late(reason)
        pause = max(seconds, self._pause * random.uniform(0.5, 1))
        self._pause = min(self._pause * FACTOR, LONGEST)
        time.sleep(min(pause, self.left(reason)))
        self.left(reason)

    def _late(self, reason: str) -> HTTPError:
        outcome = "not known to be accepted" if self.sent else "not accepted"
        return HTTPError(503, f"the events were {outcome} within {self._timeout:g} s: {reason}")
