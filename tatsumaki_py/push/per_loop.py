"""One object of a class for each event loop.

Rule: the references here are weak. A strong reference to an object that refers to its loop would
keep a closed loop alive. The users of an object, and timers of its loop, keep it alive.
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
# The loop of the latest call, and its objects: most programs have one loop.
_latest: tuple[Callable[[], object], weakref.WeakValueDictionary[type, Any]] = (
    lambda: None,
    weakref.WeakValueDictionary(),
)


def per_loop(cls: type[T]) -> T:
    """The object of `cls` that belongs to the running loop. If there is none, it is made."""
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
