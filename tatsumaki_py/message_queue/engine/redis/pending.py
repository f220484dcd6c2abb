"""Publishes that wait for an answer.

Rule: each publish gets an answer within `timeout` seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from tatsumaki_py.error import HTTPError
from tatsumaki_py.message_queue.engine import Feed
from tatsumaki_py.message_queue.engine.redis.answer import Answer, Unheard
from tatsumaki_py.message_queue.engine.redis.keys import Keys
from tatsumaki_py.message_queue.engine.redis.outage import unavailable
from tatsumaki_py.message_queue.engine.redis.wire import Mark

__all__ = ["PendingCall", "PendingCalls", "answer_all"]

NOT_SENT = "the events were not accepted"


@dataclass(slots=True, eq=False)
class PendingCall:
    """One call of the script: events of one or more publishes to one channel."""

    feed: Feed
    keys: Keys
    idempotency_key: str | None
    number: int
    deadline: float
    size: int = 0
    bodies: list[bytes] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    answers: list[tuple[int, Answer]] = field(default_factory=list)
    by_text: bool = False
    """Whether to send the text of the script, because Redis has forgotten it."""
    sent: bool = False
    """Whether Redis may have received the call. If False, it certainly has not."""
    over: bool = False
    """Whether the publishers have an answer."""


def answer_all(answers: Sequence[tuple[int, Answer]], ids: Sequence[str]) -> None:
    """Give each publisher the ids of its events."""
    start = 0
    for count, answer in answers:
        answer.give([*ids[start : start + count]])
        start += count


class PendingCalls:
    """The publishes of one event loop.

    Args:
        timeout: seconds for a call.

    Attributes:
        size: the bytes of their events.
        unheard: counts the errors that no code waits for.
    """

    def __init__(self, timeout: float) -> None:
        self.size = 0
        self.unheard = Unheard()
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._calls: dict[PendingCall, None] = {}
        """The calls, oldest first."""
        self._alarm: asyncio.TimerHandle | None = None

    def begin(
        self, feed: Feed, keys: Keys, idempotency_key: str | None, number: int
    ) -> PendingCall:
        """A new call, without events."""
        deadline = self._loop.time() + self._timeout
        call = PendingCall(feed, keys, idempotency_key, number, deadline)
        self._calls[call] = None
        if self._alarm is None:
            self._alarm = self._loop.call_at(call.deadline, self._expire)
        return call

    def add(self, call: PendingCall, bodies: Sequence[bytes], mark: Mark, size: int) -> Answer:
        """Add the events of a publish. Each has `mark`; all together, they have `size` bytes."""
        answer = Answer(self.unheard)
        call.bodies += bodies
        call.marks += [mark] * len(bodies)
        call.answers.append((len(bodies), answer))
        call.size += size
        self.size += size
        return answer

    def fail(self, call: PendingCall, error: HTTPError) -> None:
        """Give an error to the publishers of a call: its events are not accepted, or Redis has not
        confirmed them.
        """
        for _, answer in call.answers:
            answer.fail(error)
        self.finish(call)

    def fail_all(self, error: HTTPError) -> None:
        """Fail all calls; see `fail`."""
        for call in [*self._calls]:
            self.fail(call, error)

    def finish(self, call: PendingCall) -> None:
        """A call is answered."""
        if not call.over:
            call.over = True
            call.answers = []
            self.size -= call.size
            del self._calls[call]

    def rest(self) -> None:
        """Stop the timer if no call is left."""
        if not self._calls and self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _expire(self) -> None:
        """Answer the publishers whose `timeout` has passed."""
        self._alarm = None
        time = self._loop.time()
        for call in [*self._calls]:
            if call.deadline > time:
                self._alarm = self._loop.call_at(call.deadline, self._expire)
                break
            what = "Redis did not confirm the events" if call.sent else NOT_SENT
            self.fail(call, unavailable(f"{what} within {self._timeout:g} s"))
