"""The places that the polls of named clients have reached.

Rules:
1. The process that a client has left is asked for the client's place, with one message. Only a
   client without a cursor waits for the answer, for at most `ANSWER` seconds.
2. Without an answer, the place that was last remembered is used. If there is none, the client
   begins a little before the last heartbeat of the process that it has left.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from tatsumaki_py.done import Done
from tatsumaki_py.message_queue.engine import Clients
from tatsumaki_py.message_queue.engine.redis.outage import unavailable
from tatsumaki_py.message_queue.engine.redis.presence.control import ANSWER, Line
from tatsumaki_py.message_queue.engine.redis.presence.keys import ClientKeys, milliseconds
from tatsumaki_py.message_queue.engine.redis.questions import Questions

__all__ = ["Here", "Key", "Places", "settle"]

ASKED, ANSWERED = b"t", b"p"
"""The beginnings of messages."""

_log = logging.getLogger("tatsumaki")

Key = tuple[tuple[str, ...], str]
"""A named client: its channels, sorted, and its name."""
_Place = asyncio.Future[str | None]


class Here:
    """A named client of this process.

    Attributes:
        number: the number of its last arrival.
        about: the milliseconds within which it is expected back, and its hook.
        said: whether Redis has recorded an arrival.
        unsaid: the future of an arrival that Redis has not recorded.
        place: a future of the place that it reached before its last arrival, while that is being
            queried.
        reached: that place, from the answer until the client leaves; "" if there is none.
    """

    __slots__ = ("about", "number", "place", "reached", "said", "unsaid")

    def __init__(self) -> None:
        self.number = 0
        self.about = b""
        self.said = False
        self.unsaid: asyncio.Future[bool] | None = None
        self.place: _Place | None = None
        self.reached = ""


class Places:
    """Finds and keeps places for one process.

    Args:
        here: the named clients of this process.
        forget: removes one of them, because it is now in another process.
        lost: gives the place where clients of an unresponsive process begin.
    """

    def __init__(
        self,
        prefix: str,
        process: str,
        questions: Questions,
        line: Line,
        clients: Clients,
        here: Mapping[Key, Here],
        forget: Callable[[Key], None],
        lost: Callable[[bytes, tuple[str, ...]], Awaitable[str]],
    ) -> None:
        self._prefix = prefix
        self._process = process
        self._questions = questions
        self._line = line
        self._clients = clients
        self._here = here
        self._forget = forget
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._count = 0
        self._asked: dict[int, _Place] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # -- of arriving clients

    def expect(self, here: Here) -> _Place:
        """A client arrives. Returns a future of its place; see `found` and `fail`."""
        place: _Place = self._loop.create_future()
        place.add_done_callback(partial(_known, here))
        here.place = place
        return place

    def found(self, key: Key, place: _Place, process: bytes, number: int, kept: Any) -> None:
        """Redis has answered the arrival of a client. Unless `process` is empty, the client was in
        that process, where its last arrival had `number`. `kept` is the last remembered place.
        """
        if process:
            task = self._loop.create_task(self._find(key, place, process, number, kept))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            settle(place, _text(kept))

    def fail(self, place: _Place | None, error: BaseException) -> None:
        """Redis has not answered."""
        if place is not None and not place.done():
            place.set_exception(error)
            # The client may be gone.
            place.exception()

    async def _find(self, key: Key, place: _Place, process: bytes, number: int, kept: Any) -> None:
        try:
            there = await self._ask(process.decode(), number, key)
            here = self._here.get(key)
            if there and here is not None:
                self._remember(key, there, int(here.about.partition(b" ")[0]))
            if there is None and kept is None:
                there = await self._lost(process, key[0])
            settle(place, there or _text(kept))
        except Exception as error:
            self.fail(place, error)

    def recall(self, key: Key) -> Awaitable[str | None]:
        """See `Engine.recall`."""
        here = self._here.get(key)
        if here is not None and here.place is not None:
            return asyncio.shield(here.place)
        if here is not None and here.reached:
            return Done(here.reached)
        return self._kept(self._questions.command("GET", self._key(key)))

    async def _kept(self, question: asyncio.Future[Any]) -> str | None:
        return _text(await question)

    def remember(self, key: Key, cursor: str, seconds: float) -> asyncio.Future[Any]:
        """See `Engine.remember`."""
        here = self._here.get(key)
        if here is not None:
            here.reached = ""
        return self._remember(key, cursor, milliseconds(seconds))

    def _remember(self, key: Key, cursor: str, time: int) -> asyncio.Future[Any]:
        return self._questions.command("SET", self._key(key), cursor, "PX", time)

    def _key(self, key: Key) -> bytes:
        return ClientKeys(self._prefix, key[0]).place(key[1])

    # -- from one process to another

    async def _ask(self, process: str, number: int, key: Key) -> str | None:
        """End a client's poll in `process`, where its last arrival had `number`. Returns the place
        that the poll reached; None without an answer.
        """
        self._count += 1
        ask = self._count
        place: _Place = self._loop.create_future()
        self._asked[ask] = place
        words = json.dumps([self._process, ask, number, *key]).encode()
        heard = self._line.send(process, ASKED + words)
        heard.add_done_callback(partial(_unheard, place))
        try:
            async with asyncio.timeout(ANSWER):
                return await place
        except TimeoutError:
            return None
        finally:
            del self._asked[ask]

    def told(self, data: bytes) -> None:
        """Another process has asked for a place, or has answered such a question."""
        words = json.loads(data[1:])
        if data[:1] == ANSWERED:
            ask, place = words
            settle(self._asked.get(ask), place)
        else:
            process, ask, number, channels, client_id = words
            answer = partial(self._answer, process, ask)
            self._hand_over((tuple(channels), client_id), number, answer)

    def _answer(self, process: str, ask: int, place: str | None) -> None:
        self._line.send(process, ANSWERED + json.dumps([ask, place or ""]).encode())

    def _hand_over(self, key: Key, number: int, answer: Callable[[str | None], None]) -> None:
        """End the poll of a client that has polled in another process."""
        here = self._here.get(key)
        if here is not None and here.number != number:
            # The client has come back since, and is now being taken from the other process.
            place = self._clients.place(*key)
        else:
            # The client may be known here without being a subscriber.
            if here is not None:
                self._forget(key)
            place = self._clients.take(*key)
        if place or here is None:
            answer(place)
        elif here.place is None:
            answer(here.reached)
        else:
            # This process is itself waiting for the client's place.
            here.place.add_done_callback(lambda known: answer(_result(known)))

    def close(self) -> None:
        """Stop waiting."""
        for task in self._tasks:
            task.cancel()
        for here in self._here.values():
            self.fail(here.place, unavailable())


def _known(here: Here, place: _Place) -> None:
    if here.place is place:
        here.place = None
        here.reached = _result(place) or ""


def _result(place: _Place) -> str | None:
    """The place, from a future that is done; None if it could not be found out."""
    return None if place.cancelled() or place.exception() is not None else place.result()


def _unheard(place: _Place, heard: asyncio.Future[int]) -> None:
    """The asked process has ended, or Redis is away."""
    if heard.cancelled() or heard.exception() is not None or not heard.result():
        settle(place, None)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def settle(future: asyncio.Future[Any] | None, result: Any) -> None:
    """Set the result of a future, unless it is None or done."""
    if future is not None and not future.done():
        future.set_result(result)
