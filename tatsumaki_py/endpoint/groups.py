"""The open connections of each user, which `SubscribeHandler.disconnect` ends, and the times when
it was called.

Rules:
1. Everything that is remembered is bounded.
2. Ending many connections does not block the event loop: after the first `AT_ONCE`, they end in
   turns of `TURN` seconds. All are marked first (`Member.expelled`), so that none of their requests
   is admitted in the meantime.
3. If one connection fails to end, the others still end.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable
from contextvars import Context
from typing import Any, Protocol, cast

from tatsumaki_py.endpoint.departed import class_name
from tatsumaki_py.endpoint.members import Member, Members
from tatsumaki_py.error import HTTPError

__all__ = ["GROUPS", "REVOKED", "Expelled", "Revoked", "disconnect", "expel", "obey"]

MAX_REVOKED = 10_000
AT_ONCE = 100
TURN = 0.002

_log = logging.getLogger("tatsumaki")

GROUPS = Members()
"""The handlers of all `SubscribeHandler` classes of this process, by `group_key`."""


class Revoked:
    """The times at which groups were last disconnected. Tickets of a group that were made up to
    that time are no longer valid.

    >>> revoked = Revoked()
    >>> revoked.note(int, "ann", 1000.5)
    >>> revoked.since(bool, "ann"), revoked.since(bool, "bob")
    (1000.5, 0.0)
    """

    def __init__(self) -> None:
        self._times: dict[tuple[type, str], float] = {}

    def note(self, kind: type, group: str, when: float) -> None:
        """Remember that the connections of `group` to handlers of `kind` were ended at `when`, in
        seconds since the epoch.
        """
        before = self._times.pop((kind, group), 0.0)
        self._times[kind, group] = max(when, before)
        if len(self._times) > MAX_REVOKED:
            del self._times[next(iter(self._times))]

    def since(self, kind: type, group: str) -> float:
        """The time of the last `note`, in seconds since the epoch; 0 if it is not known."""
        return max(self._times.get((base, group), 0.0) for base in kind.__mro__)


REVOKED = Revoked()
"""The disconnected groups that this process remembers."""


class Expelled(Protocol):
    """The handler of a member, as this module sees it."""

    def _expel(self, error: HTTPError) -> None:
        """End the stream or the waiting poll; `error` is the reason."""


def disconnect(kind: type, key: str, when: float) -> int:
    """End the connections of the group `key` to handlers of `kind`, and revoke the tickets made up
    to `when`, in seconds since the epoch. Returns the number of connections.
    """
    REVOKED.note(kind, key, when)
    members = [member for member in GROUPS.of(key) if _may_expel(kind, member)]
    for member in members:
        member.expelled = True
    expel(members)
    return len(members)


def _may_expel(kind: type, member: Member) -> bool:
    """Whether `member` is not marked yet, and has a handler of `kind` whose answer is not over."""
    handler = member()
    if handler is None or not isinstance(handler, kind):
        return False
    return not (member.expelled or handler._peer_left())


def obey(root: type, said: dict[str, Any]) -> None:
    """`disconnect` was called in another process, for `root` or a subclass of it."""
    kinds = [root]
    for kind in kinds:
        if class_name(kind) == said["kind"]:
            # Use the time of the call: the message may be late, and newer tickets are valid.
            disconnect(kind, said["group"], said["time"])
        kinds += kind.__subclasses__()


def expel(members: Iterable[Member]) -> None:
    """End the connections of `members`; `Member.expelled` is already set."""
    left = deque(members)
    for _ in range(min(AT_ONCE, len(left))):
        _end(left.popleft())
    if left:
        _later(left)


def _later(left: deque[Member]) -> None:
    # Use a new context: the callback would keep the current one, that of a request, alive.
    asyncio.get_running_loop().call_soon(_turn, left, context=Context())


def _turn(left: deque[Member]) -> None:
    end = time.monotonic() + TURN
    while left:
        _end(left.popleft())
        if time.monotonic() >= end:
            break
    if left:
        _later(left)


def _end(member: Member) -> None:
    handler = cast("Expelled | None", member())
    if handler is None:
        return
    try:
        handler._expel(HTTPError(403))
    except Exception:
        _log.exception("a connection could not be ended")
