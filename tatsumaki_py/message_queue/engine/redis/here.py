"""A named client of this process, as the engine knows it."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["Here"]


class Here:
    """A named client of this process.

    Attributes:
        number: that of its last arrival.
        about: how many milliseconds it is expected back, and its hook.
        said: whether Redis has taken an arrival.
        unsaid: the future of an arrival that Redis has not taken.
        arrival: the reply to the last arrival, until its place is known.
        place: where its poll elsewhere has been, if it had one.
    """

    __slots__ = ("about", "arrival", "number", "place", "said", "unsaid")

    def __init__(self) -> None:
        self.number = 0
        self.about = b""
        self.said = False
        self.unsaid: asyncio.Future[bool] | None = None
        self.arrival: asyncio.Future[Any] | None = None
        self.place: asyncio.Future[str] | None = None
