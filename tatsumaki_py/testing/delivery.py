"""Checks the delivery guarantee: every event once and in order, or a gap.

Rules for a client, for the given events in their order:
1. The first message is the first event, and each message is the next event, unless a gap came in
   between.
2. After a gap, the next message may be any later event.
3. After a reconnect, a client that sends its cursor resumes with the next event. A client that
   sends only its name resumes with the next event or an earlier one. Any other client may resume
   with any event.
4. No id arrives twice, except for clients that do not send their cursor.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tatsumaki_py.testing.attempt import Attempt
from tatsumaki_py.testing.message import Message

__all__ = ["Delivery"]

SHOWN = 100
"""The most characters of an event in an error message."""
LISTED = 5


class Delivery:
    """Compares the received messages with the published events.

    Args:
        events: the published events, oldest first: values, or `Event` objects.
        allow_gap: whether a gap may replace events.
        remembers: whether the client sends its cursor when it reconnects.
        named: whether the client has a name.
        channel: the channel of the events; None for all channels.
    """

    def __init__(
        self,
        events: Sequence[Any],
        allow_gap: bool,
        remembers: bool,
        named: bool,
        channel: str | None,
    ) -> None:
        self._events = [_plain(event) for event in events]
        self._ids = [getattr(event, "id", None) for event in events]
        self._allow_gap, self._remembers, self._named = allow_gap, remembers, named
        self._channel = channel
        self._looked = 0
        self._place = 0
        self._told = False
        self._last: tuple[Message, Attempt] | None = None
        self._seen: dict[str, Attempt] = {}
        self._where: dict[int, Attempt] = {}
        self._skipped: tuple[int, str] | None = None
        self.problem: str | None = None
        """The first error; None if there is none."""

    def look(self, attempts: Sequence[Attempt]) -> bool:
        """Compare the messages that have arrived over a client's connections since the last call.
        Returns whether the last event has arrived, or there is an error.
        """
        pairs = [(message, attempt) for attempt in attempts for message in attempt.messages]
        for message, attempt in pairs[self._looked :]:
            other = self._channel not in (None, message.channel)
            if other and message.channel is None and not message.gap:
                self.problem = self.problem or (
                    f"{_said(message)} came on {attempt.name} without a channel: "
                    "for a client of one channel, leave out `channel`"
                )
            elif other and message.channel is not None:
                continue
            elif self.problem is None:
                self.problem = self._taken(message, attempt)
            elif self._skipped is not None and self._fits(message, self._skipped[0]):
                place, where = self._skipped
                self.problem = f"{self._names(place, place + 1)} came out of order: {where}"
        self._looked = len(pairs)
        return self.problem is not None or self._place == len(self._events)

    def _taken(self, message: Message, attempt: Attempt) -> str | None:
        if message.gap:
            self._told = True
            if self._allow_gap:
                return None
            return f"events are lost: a gap {_said(message)} came on {attempt.name}"
        again = self._last is not None and self._last[1] is not attempt and not self._remembers
        if message.id is not None:
            before = self._seen.get(message.id)
            if before is not None and (before is attempt or self._remembers):
                return self._twice(message, before, attempt)
            self._seen[message.id] = attempt
        place = self._find(message, again)
        if place is None:
            return self._wrong(message, attempt)
        self._where[place] = attempt
        self._place, self._told = place + 1, False
        self._last = message, attempt
        return None

    def _find(self, message: Message, again: bool) -> int | None:
        """The index of the event that `message` contains, if that event may arrive now."""
        candidates: Sequence[int] = [self._place]
        if again:
            candidates = range(self._place + 1) if self._named else range(len(self._events))
            candidates = sorted(candidates, key=lambda place: (place < self._place, place))
        elif self._told:
            candidates = range(self._place, len(self._events))
        for place in candidates:
            if place < len(self._events) and self._fits(message, place):
                return place
        return None

    def _fits(self, message: Message, place: int) -> bool:
        known = self._ids[place] is None or message.id is None
        return (known or self._ids[place] == message.id) and message.data == self._events[place]

    def _wrong(self, message: Message, attempt: Attempt) -> str:
        before = [place for place in range(self._place) if self._fits(message, place)]
        after = [
            place for place in range(self._place, len(self._events)) if self._fits(message, place)
        ]
        where = f"{self._after()}{_said(message)} came on {attempt.name}"
        if after:
            self._skipped = self._place, where
            return f"{self._missing(self._place, after[0])}: {where}, without a gap"
        if before and before[-1] in self._where:
            return self._twice(message, self._where[before[-1]], attempt)
        if before:
            return f"{where}, although a gap had reported it lost"
        return f"{where}, but was never published"

    def _twice(self, message: Message, before: Attempt, attempt: Attempt) -> str:
        if before is attempt:
            return f"{_said(message)} came twice on {attempt.name}"
        return f"{_said(message)} came twice: on {before.name}, and on {attempt.name}"

    def _after(self) -> str:
        if self._last is None:
            return "at the beginning, "
        message, attempt = self._last
        return f"after {_said(message)} on {attempt.name}, "

    @property
    def missing(self) -> str:
        """The events that have not arrived, in words; "" if all have."""
        count = len(self._events)
        if self._place == count:
            return ""
        return f"{self._missing(self._place, count)} at the end"

    def _names(self, start: int, end: int) -> str:
        """The events from index `start` up to `end`, in words."""
        shown = [
            _shown(self._events[place], self._ids[place])
            for place in range(start, min(end, start + LISTED))
        ]
        listed = ", ".join(shown) + (", ..." if end - start > LISTED else "")
        count = len(self._events)
        if end - start == 1:
            return f"event {end} of {count} ({listed})"
        return f"events {start + 1} to {end} of {count} ({listed})"

    def _missing(self, start: int, end: int) -> str:
        return f"{self._names(start, end)} {'is' if end - start == 1 else 'are'} missing"


def _plain(event: Any) -> Any:
    """An event, parsed from its JSON."""
    text = getattr(event, "json", None)
    return json.loads(text if isinstance(text, bytes) else json.dumps(event))


def _said(message: Message) -> str:
    return _shown(message.data, message.id)


def _shown(data: Any, id: str | None) -> str:
    text = json.dumps(data, ensure_ascii=False)
    if len(text) > SHOWN:
        text = f"{text[:SHOWN]}..."
    return text if id is None else f"{text} with id {id}"
