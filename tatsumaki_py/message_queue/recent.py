"""A bounded cache of objects that can be made again."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

__all__ = ["Recent"]

_Thing = TypeVar("_Thing")


class Recent(Generic[_Thing]):
    """Holds the most recent objects, up to `limit` bytes.

    >>> recent = Recent[str](limit=100)
    >>> [recent.add(name, 40) for name in "abc"]
    [[], [], ['a']]
    """

    __slots__ = ("_held", "_limit", "_size", "_sizes")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        # Two deques, so that an object takes only one slot in each, and no tuple.
        self._held: deque[_Thing] = deque()
        self._sizes: deque[int] = deque()

    def add(self, thing: _Thing, size: int) -> list[_Thing]:
        """Hold `thing`, of `size` bytes. Returns the objects that were dropped for it."""
        self._held.append(thing)
        self._sizes.append(size)
        self._size += size
        dropped = []
        while self._size > self._limit:
            self._size -= self._sizes.popleft()
            dropped.append(self._held.popleft())
        return dropped
