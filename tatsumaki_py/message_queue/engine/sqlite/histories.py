"""Questions for older events. Clients that ask for the same ones share a question: many may come
back to one place.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from functools import partial

from tatsumaki_py.message_queue.engine import Feed
from tatsumaki_py.message_queue.engine.sqlite import reading
from tatsumaki_py.message_queue.engine.sqlite.loading import since_ms
from tatsumaki_py.message_queue.engine.sqlite.writer import Question
from tatsumaki_py.message_queue.event import Entry

__all__ = ["Histories"]

Answer = asyncio.Future[list[Entry] | None]
Asked = tuple[str, str, str, int]


class Histories:
    """The questions that are not answered yet.

    Args:
        unreadable: gives what clients are told instead of an error, which the log gets.
    """

    def __init__(self, unreadable: Callable[[Exception], Exception]) -> None:
        self._unreadable = unreadable
        self._waiting: dict[Asked, list[Answer]] = {}

    def ask(self, feed: Feed, cursor: str, limit: int) -> tuple[Answer, Question | None]:
        """See `Engine.history`. The question, if there is one, is to be asked."""
        answer: Answer = asyncio.get_running_loop().create_future()
        asked = feed.name, cursor, feed.floor, limit
        waiting = self._waiting.get(asked)
        if waiting is not None:
            waiting.append(answer)
            return answer, None
        waiting = self._waiting[asked] = [answer]
        ask = partial(
            reading.between,
            name=feed.name,
            cursor=cursor,
            end=feed.floor,
            limit=limit,
            since_ms=since_ms(feed),
        )
        return answer, Question(ask, partial(self._answer, asked, waiting))

    def _answer(self, asked: Asked, waiting: list[Answer], question: Question) -> None:
        self._waiting.pop(asked, None)
        error = None if question.error is None else self._unreadable(question.error)
        for answer in waiting:
            if answer.done() or answer.get_loop().is_closed():
                continue
            if error is None:
                answer.set_result(question.answer)
            elif _is_broken(question.error):
                # They are lost, which the client is told.
                answer.set_result(None)
            else:
                answer.set_exception(error)

    def clear(self) -> None:
        """The questions are not answered any more."""
        self._waiting.clear()


def _is_broken(error: Exception | None) -> bool:
    """Whether it is of no use to ask again."""
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
