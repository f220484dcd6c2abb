"""Events older than the log of a channel.

Rules:
1. Clients that need the same events at the same time share one query.
2. If Redis refuses a read, the events are not lost: the answer is a 503.
"""

from __future__ import annotations

import asyncio
from functools import partial

from redis.exceptions import ResponseError

from tatsumaki_py.message_queue.engine import Feed
from tatsumaki_py.message_queue.engine.redis.keys import Keys
from tatsumaki_py.message_queue.engine.redis.outage import unavailable
from tatsumaki_py.message_queue.engine.redis.questions import Questions
from tatsumaki_py.message_queue.engine.redis.scripts import HISTORY
from tatsumaki_py.message_queue.engine.redis.sparing import Sparing
from tatsumaki_py.message_queue.engine.redis.wire import entries_of, stored_settings
from tatsumaki_py.message_queue.event import Entry

__all__ = ["Histories"]

_Asked = tuple[str, str, str, int]


class Histories:
    """The queries of one event loop."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self._asked: dict[_Asked, asyncio.Task[list[Entry] | None]] = {}
        self._errors = Sparing()

    async def ask(self, feed: Feed, keys: Keys, cursor: str, limit: int) -> list[Entry] | None:
        """See `Engine.history`; for a cursor that is older than the log."""
        asked = feed.name, cursor, feed.floor, limit
        task = self._asked.get(asked)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._ask(feed, keys, *asked[1:]))
            self._asked[asked] = task
            task.add_done_callback(partial(self._answered, asked))
        # If one caller is cancelled, the others still wait.
        return await asyncio.shield(task)

    def _answered(self, asked: _Asked, task: asyncio.Task[list[Entry] | None]) -> None:
        del self._asked[asked]
        if not task.cancelled():
            # All waiting clients may be gone.
            task.exception()

    async def _ask(
        self, feed: Feed, keys: Keys, cursor: str, floor: str, limit: int
    ) -> list[Entry] | None:
        arguments: list[str | int] = [cursor, floor, limit, stored_settings(feed.settings)]
        try:
            rows = await self._questions.run(HISTORY, (keys.stream, keys.top), arguments)
        except ResponseError as error:
            self._errors.error("events of channel %r could not be read: %s", feed.name, error)
            raise unavailable("Redis refused to return the events") from None
        return None if rows is None else entries_of(feed.name, rows)
