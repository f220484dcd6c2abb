"""The open connections of each user, which `SubscribeHandler.disconnect` ends, and when it did so.

Rule: all that is remembered is bounded.
"""

from __future__ import annotations

import time

from tatsumaki_py.endpoint.members import Members

__all__ = ["GROUPS", "REVOKED", "Revoked"]

MAX_REVOKED = 10_000

GROUPS = Members()
"""Those of all `SubscribeHandler` classes of this process, by `group_key`."""


class Revoked:
    """When the groups that were disconnected last were: tickets that were made before that are not
    valid any more.

    >>> revoked = Revoked()
    >>> revoked.note(int, "ann")
    >>> revoked.since(bool, "ann") > revoked.since(bool, "bob") == 0
    True
    """

    def __init__(self) -> None:
        self._times: dict[tuple[type, str], float] = {}

    def note(self, kind: type, group: str) -> None:
        """The connections of `group` to handlers of `kind` are ended now."""
        self._times.pop((kind, group), None)
        self._times[kind, group] = time.time()
        if len(self._times) > MAX_REVOKED:
            del self._times[next(iter(self._times))]

    def since(self, kind: type, group: str) -> float:
        """When they were, in seconds since the epoch; 0 if that is not known."""
        return max(self._times.get((base, group), 0.0) for base in kind.__mro__)


REVOKED = Revoked()
"""Those of this process."""
