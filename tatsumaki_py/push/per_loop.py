"""One object of a class for each event loop.

Rule: an object is held weakly here, so that no loop that has ended is kept alive by it. The objects
that use it, and the timers of its loop, keep it as long as it is needed.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import Any, TypeVar

__all__ = ["per_loop"]

T = TypeVar("T")

_held: weakref.WeakKeyDictionary[
    asyncio.AbstractEventLoop, weakref.WeakValueDictionary[type, Any]
] = weakref.WeakKeyDictionary()


def per_loop(cls: type[T]) -> T:
    """The object of `cls` that belongs to the running loop; made if there is none."""
    loop = asyncio.get_running_loop()
    held = _held.get(loop)
    if held is None:
        held = _held[loop] = weakref.WeakValueDictionary()
    found: T | None = held.get(cls)
    if found is None:
        found = held[cls] = cls()
    return found
