"""One object of a class for each event loop.

Rule: the reference here is weak, or an object that refers to its loop would keep a loop alive that
has ended. Users of the object, and timers of its loop, keep it as long as it is needed.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["per_loop"]

T = TypeVar("T")

_held: weakref.WeakKeyDictionary[
    asyncio.AbstractEventLoop, weakref.WeakValueDictionary[type, Any]
] = weakref.WeakKeyDictionary()
# The loop that was asked for last, and its objects: mostly there is one loop.
_latest: tuple[Callable[[], object], weakref.WeakValueDictionary[type, Any]] = (
    lambda: None,
    weakref.WeakValueDictionary(),
)


def per_loop(cls: type[T]) -> T:
    """The object of `cls` that belongs to the running loop; made if there is none."""
    global _latest
    loop = asyncio.get_running_loop()
    reference, held = _latest
    if reference() is not loop:
        known = _held.get(loop)
        held = weakref.WeakValueDictionary() if known is None else known
        _held[loop] = held
        _latest = weakref.ref(loop), held
    found: T | None = held.get(cls)
    if found is None:
        found = held[cls] = cls()
    return found
