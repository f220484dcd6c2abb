"""A publish that waits for Redis, or several that are one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tatsumaki_py.message_queue.engine import Feed
from tatsumaki_py.message_queue.engine.redis.answer import Answer
from tatsumaki_py.message_queue.engine.redis.keys import Keys

__all__ = ["PendingCall", "answer_all"]


@dataclass(slots=True, eq=False)
class PendingCall:
    """One call of the script: events of one or more publishes to one channel."""

    feed: Feed
    keys: Keys
    key: str | None
    number: int
    deadline: float
    size: int = 0
    bodies: list[bytes] = field(default_factory=list)
    quiet: list[bool] = field(default_factory=list)
    answers: list[tuple[int, Answer]] = field(default_factory=list)
    by_text: bool = False
    """Whether Redis has forgotten the script."""
    over: bool = False
    """Whether the publishers have an answer."""


def answer_all(answers: Sequence[tuple[int, Answer]], ids: Sequence[str]) -> None:
    """Give each publisher the ids of its events."""
    start = 0
    for count, answer in answers:
        if not answer.done():
            answer.set_result([*ids[start : start + count]])
        start += count
