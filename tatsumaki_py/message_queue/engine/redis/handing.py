"""Asks the process that a client has left for its place.

Rule: a question ends after `ANSWER` seconds at the latest; without an answer the place is "".
"""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

from tatsumaki_py.message_queue.engine.redis.control import ANSWER, Line

__all__ = ["ANSWERED", "ASKED", "Handing", "settle"]

ASKED, ANSWERED = b"t", b"p"
"""What the messages begin with."""


class Handing:
    """The questions of one process."""

    def __init__(self, process: str, line: Line) -> None:
        self._process = process
        self._line = line
        self._loop = asyncio.get_running_loop()
        self._count = 0
        self._places: dict[int, asyncio.Future[str]] = {}

    def ask(
        self, process: str, number: int, channels: tuple[str, ...], client_id: str
    ) -> asyncio.Future[str]:
        """Ask `process` to end the poll of a client, whose arrival there had that number."""
        self._count += 1
        place = self._places[self._count] = self._loop.create_future()
        timer = self._loop.call_later(ANSWER, settle, place, "")
        place.add_done_callback(partial(self._over, self._count, timer))
        words = json.dumps([self._process, self._count, number, channels, client_id]).encode()
        heard = self._line.send(process, ASKED + words)
        heard.add_done_callback(partial(_unheard, place))
        return place

    def _over(self, ask: int, timer: asyncio.TimerHandle, _: asyncio.Future[str]) -> None:
        timer.cancel()
        del self._places[ask]

    def answer(self, process: str, ask: int, place: str) -> None:
        """Answer the question of another process."""
        self._line.send(process, ANSWERED + json.dumps([ask, place]).encode())

    def answered(self, data: bytes) -> None:
        """Another process has answered."""
        ask, place = json.loads(data[1:])
        settle(self._places.get(ask), place)

    def close(self) -> None:
        """Wait no more."""
        for place in [*self._places.values()]:
            place.cancel()


def _unheard(place: asyncio.Future[str], heard: asyncio.Future[int]) -> None:
    """The process that was asked has ended, or Redis is away."""
    if heard.cancelled() or heard.exception() is not None or not heard.result():
        settle(place, "")


def settle(future: asyncio.Future[Any] | None, result: Any) -> None:
    """Set the result of a future that may be done."""
    if future is not None and not future.done():
        future.set_result(result)
