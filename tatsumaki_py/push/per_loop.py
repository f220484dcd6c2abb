"""One object of a class for each event loop.

Rule: the reference here is weak, or an object that refers to its loop would keep a loop alive that
has ended. Users of the object, and timers of its loop, keep it as long as it is needed.
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
