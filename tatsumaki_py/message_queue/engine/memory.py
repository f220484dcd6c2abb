"""The engine that keeps all events in this process. No event survives a restart: a client that
reconnects after a restart gets a gap.

Rules:
1. The logs of the channels have all events, so they count as loaded from the beginning.
2. The newest id of a forgotten channel stays in `_tops`, so that a client that has all events of
   the channel gets no gap. If there are too many of these ids, the oldest are dropped, and all
   unknown channels begin at a new id: every client of such a channel gets a gap.
3. An idempotency key is remembered before its events are delivered.
"""

from __future__ import annotations

from collections.abc import Sequence

from tatsumaki_py.done import Done
from tatsumaki_py.message_queue.alarm import now
from tatsumaki_py.message_queue.engine import Feed
from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.message_queue.idempotency import Answers, digest_of
from tatsumaki_py.message_queue.ids import Ids

__all__ = ["MemoryEngine"]

MAX_TOPS = 10_000
"""How many forgotten channels keep their newest id."""


class MemoryEngine:
    """Assigns ids by this machine's clock, and passes the events to the channel immediately.

    All channels share one sequence of ids, so the ids also show the order of publishing across
    channels.
    """

    presence = None
    """See `Engine.presence`: there is no other process."""

    def __init__(self) -> None:
        self._ids = Ids()
        self._start = self._ids.next()
        self._tops: dict[str, str] = {}
        self._answers: dict[str, Answers] = {}

    def publish(
        self,
        feed: Feed,
        bodies: Sequence[bytes],
        *,
        key: str | None = None,
        idempotency_key: str | None = None,
        quiet: bool = False,
    ) -> Done[list[str]]:
        """See `Engine.publish`."""
        digest = b""
        if idempotency_key is not None:
            digest = digest_of(bodies, key)
            answers = self._answers.get(feed.name)
            after = now() - feed.settings.idempotency_time
            known = None if answers is None else answers.find(idempotency_key, digest, after)
            if known is not None:
                return Done(known)
        if not bodies:
            return Done([])
        feed.reserve()
        events: list[Entry] = []
        ids: list[str] = []
        prev = feed.top
        for body in bodies:
            id = self._ids.next()
            events.append(Entry(body, id, prev, channel=feed.name, quiet=quiet, key=key))
            ids.append(id)
            prev = id
        if idempotency_key is not None:
            self._remember_key(feed, idempotency_key, digest, ids)
        feed.accept(events)
        return Done(ids)

    def _remember_key(self, feed: Feed, key: str, digest: bytes, ids: Sequence[str]) -> None:
        answers = self._answers.get(feed.name)
        if answers is None:
            answers = self._answers[feed.name] = Answers()
        settings = feed.settings
        answers.keep(key, digest, ids, now(), settings.idempotency_keys, settings.buffer_size)
        feed.beside = answers.size

    def open(self, feed: Feed) -> None:
        """See `Engine.open`."""
        feed.load(self._tops.get(feed.name, self._start), ())

    def attach(self, feed: Feed) -> None:
        """See `Engine.attach`."""

    def detach(self, feed: Feed) -> None:
        """See `Engine.detach`."""

    def forget(self, feed: Feed) -> None:
        """See `Engine.forget`."""
        self._answers.pop(feed.name, None)
        feed.beside = 0
        if feed.top == self._start:
            return
        self._tops.pop(feed.name, None)
        self._tops[feed.name] = feed.top
        if len(self._tops) > MAX_TOPS:
            del self._tops[next(iter(self._tops))]
            self._start = self._ids.next()

    def history(self, feed: Feed, cursor: str, limit: int) -> None:
        """See `Engine.history`: all events are in the log."""

    def recall(self, channels: tuple[str, ...], client_id: str) -> None:
        """See `Engine.recall`: there is no other process."""

    def remember(
        self, channels: tuple[str, ...], client_id: str, cursor: str, seconds: float
    ) -> None:
        """See `Engine.remember`."""

    async def close(self) -> None:
        """See `Engine.close`."""
