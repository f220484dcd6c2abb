"""Handlers by key, such as the user or the address of the client.

Rules:
1. References to handlers are weak. A handler that is freed is removed, and a key without handlers
   is forgotten.
2. A handler without a key has no entry, and costs nothing.
3. Python may free a handler in any thread. The removal runs in the thread of the event loop.
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import Protocol

from tatsumaki_py.message_queue import MessageQueue

__all__ = ["Leaving", "Member", "Members"]


class Leaving(Protocol):
    """A handler, as this module sees it."""

    def _peer_left(self) -> bool:
        """Whether its answer is over."""


class Member(weakref.ref[Leaving]):
    """A weak reference to a handler."""

    __slots__ = ("expelled", "key")

    key: str
    expelled: bool
    """Whether the connection is about to be ended. A handler checks this before it admits its
    client.
    """


class Members:
    """Handlers by key, each until it is freed.

    >>> class Over:
    ...     def _peer_left(self):
    ...         return False
    >>> members, handler = Members(), Over()
    >>> _ = members.add("ann", handler)
    >>> members.full("ann", 1), members.full("ann", 2), members.full("bob", 1)
    (True, False, False)
    >>> del handler
    >>> len(members)
    0
    """

    def __init__(self) -> None:
        self._members: dict[str, set[Member]] = {}
        # Made once, so that all references share one bound method.
        self._freed = self._forget

    def add(self, key: str, handler: Leaving) -> Member:
        """Add `handler` under `key`."""
        member = Member(handler, self._freed)
        member.key, member.expelled = key, False
        members = self._members.get(key, set())
        members.add(member)
        # Store the set again: Python may just have freed the last other member, and then the set
        # was removed.
        self._members[key] = members
        return member

    def of(self, key: str) -> tuple[Member, ...]:
        """The current handlers of `key`."""
        return tuple(self._members.get(key, ()))

    def full(self, key: str, limit: int) -> bool:
        """Whether at least `limit` handlers of `key` have answers that are not over."""
        members = self._members.get(key, ())
        if len(members) < limit:
            return False
        # Check each handler: the program may hold handlers whose answers are over.
        handlers = (member() for member in tuple(members))
        alive = [one for one in handlers if one is not None and not one._peer_left()]
        return len(alive) >= limit

    def __len__(self) -> int:
        """The number of keys."""
        return len(self._members)

    def _forget(self, member: weakref.ref[Leaving]) -> None:
        MessageQueue._registry.thread.run(partial(self._remove, member))

    def _remove(self, member: weakref.ref[Leaving]) -> None:
        assert isinstance(member, Member)
        members = self._members.get(member.key)
        if members is not None:
            members.discard(member)
            if not members:
                del self._members[member.key]
