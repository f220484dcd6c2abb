"""Which process each named client is in, and where its polls have been.

Rules:
1. `present` in Redis says which process a client is in. It changes in scripts only, and a process
   knows the number of its last arrival there.
2. The process that a client has left is asked for its place: by one message, whose answer is waited
   for if the client gave no cursor. Without an answer, the place counts that Redis has.
3. What Redis did not take is done again after the next sign of life: one step for each client,
   because a later one replaces it.
4. A client is in the index of its process (`clients_of`) before it is in `present`, so the clients
   of a process that ends are found.
"""

from __future__ import annotations

import asyncio
import json
import logging
from functools import partial
from typing import Any

from tatsumaki_py.message_queue.engine import Clients
from tatsumaki_py.message_queue.engine.redis.control import Control, Line
from tatsumaki_py.message_queue.engine.redis.handing import ANSWERED, ASKED, Handing, settle
from tatsumaki_py.message_queue.engine.redis.here import Here
from tatsumaki_py.message_queue.engine.redis.lives import KEPT, Lives
from tatsumaki_py.message_queue.engine.redis.options import RedisOptions
from tatsumaki_py.message_queue.engine.redis.presence_keys import (
    AllKeys,
    ClientKeys,
    clients_of,
    encoded,
    milliseconds,
    written_client,
)
from tatsumaki_py.message_queue.engine.redis.presence_scripts import MOVE
from tatsumaki_py.message_queue.engine.redis.questions import Questions

__all__ = ["RedisPresence"]

PIECE = 200
"""Clients that are said again in one pipeline."""
LAST_WORDS = 2.0
"""Seconds that a process that ends has to say so."""

_log = logging.getLogger("tatsumaki")

_Key = tuple[tuple[str, ...], str]


class RedisPresence:
    """The named clients of one process, in one event loop. See `Presence`."""

    def __init__(
        self,
        options: RedisOptions,
        process: str,
        questions: Questions,
        line: Line,
        clients: Clients,
    ) -> None:
        self._prefix = options.prefix
        self._process = process
        self._questions = questions
        self._line = line
        self._clients = clients
        self._loop = asyncio.get_running_loop()
        self._index = clients_of(options.prefix, process)
        self._here: dict[_Key, Here] = {}
        self._leaving: dict[_Key, asyncio.Future[bool]] = {}
        """Clients that have left, which Redis does not know yet."""
        self._number = 0
        self._said: set[asyncio.Future[Any]] = set()
        """What is on its way."""
        self._handing = Handing(process, line)
        self.control = Control(options.prefix, process, questions, line, clients)
        self.all = AllKeys(options.prefix).messages
        self._lives = Lives(options, process, questions, clients, self.rejoin, self.again)
        self._rejoining: asyncio.Task[None] | None = None
        self._subscribed = False

    def begin(self) -> None:
        """The process is about to have clients."""
        self.control.begin()
        self._lives.start()

    def _ask(self, question: asyncio.Future[Any]) -> asyncio.Future[Any]:
        """Note a question, so that it is asked before the process ends."""
        self._said.add(question)
        question.add_done_callback(self._said.discard)
        return question

    # -- coming

    def arrive(
        self, channels: tuple[str, ...], client_id: str, hook: str, seconds: float
    ) -> asyncio.Future[bool]:
        """See `Presence.arrive`."""
        self._line.listen()
        key = channels, client_id
        # The others have yet to learn that it was gone.
        settle(self._leaving.pop(key, None), False)
        here = self._here.get(key)
        if here is None:
            here = self._here[key] = Here()
        settle(here.unsaid, False)
        here.unsaid = here.place = None
        self._number += 1
        here.number = self._number
        about = b"%d %b" % (milliseconds(seconds), hook.encode())
        if here.about != about:
            here.about = about
            self._note(key, here)
        new: asyncio.Future[bool] = self._loop.create_future()
        self._enter(key, here, new)
        return new

    def _note(self, key: _Key, here: Here) -> None:
        self._ask(self._questions.command("HSET", self._index, written_client(*key), here.about))

    def _enter(
        self, key: _Key, here: Here, new: asyncio.Future[bool] | None
    ) -> asyncio.Future[Any]:
        """Say that a client is here. Without a future it has been here before."""
        keys = ClientKeys(self._prefix, key[0])
        args = (encoded(key[1]), self._process, here.number, int(new is None), KEPT)
        question = self._questions.run(MOVE, (keys.present, keys.place(key[1])), args)
        if new is not None:
            here.arrival = question
        question.add_done_callback(partial(self._entered, key, here, here.number, new))
        return self._ask(question)

    def _entered(
        self,
        key: _Key,
        here: Here,
        number: int,
        new: asyncio.Future[bool] | None,
        question: asyncio.Future[Any],
    ) -> None:
        if question.cancelled():
            return
        is_last, stays = here.number == number, self._here.get(key) is here
        error = question.exception()
        if error is not None:
            _log.debug("a client could not be said to be here: %s", error)
            if new is None or (is_last and stays):
                here.unsaid = new
            else:
                # No other process has heard of a visit that is over.
                settle(new, not stays)
            return
        was_new, process, there, _ = question.result()
        here.said = True
        if new is None:
            if process and is_last and stays:
                # It has polled elsewhere meanwhile.
                self._forget(key)
                self._clients.take(*key)
            return
        place = self._take(key, process.decode(), int(there)) if process else None
        if is_last:
            here.place = place
            if place is None:
                here.arrival = None
        settle(new, bool(was_new))

    # -- from one process to another

    def _take(self, key: _Key, process: str, number: int) -> asyncio.Future[str]:
        """End the client's poll in the process that it has left. Returns its place there."""
        place = self._handing.ask(process, number, *key)
        place.add_done_callback(partial(self._taken, key))
        return place

    def _taken(self, key: _Key, place: asyncio.Future[str]) -> None:
        here = self._here.get(key)
        if here is not None and not place.cancelled() and place.result():
            seconds = int(here.about.partition(b" ")[0]) / 1000
            self.remember(*key, place.result(), seconds)

    def told(self, data: bytes) -> None:
        """A message to this process has come."""
        kind = data[:1]
        if kind == ASKED:
            process, ask, number, channels, client_id = json.loads(data[1:])
            self._hand_over((tuple(channels), client_id), number, process, ask)
        elif kind == ANSWERED:
            self._handing.answered(data)
        elif kind == b"=":
            self.control.counted(data)

    def _hand_over(self, key: _Key, number: int, process: str, ask: int) -> None:
        """End the poll of a client that has polled in `process`, and answer its question."""
        here = self._here.get(key)
        if here is not None and here.number != number:
            # It has come back since, and is taken from the other process now.
            place = self._clients.place(*key)
        else:
            # It may be known here, and not be a subscriber.
            if here is not None:
                self._forget(key)
            place = self._clients.take(*key)
        if here is not None and here.arrival is not None and not place:
            # This process is waiting for its place, too.
            task = self._loop.create_task(self._answer_later(here, here.arrival, process, ask))
            self._said.add(task)
            task.add_done_callback(self._said.discard)
        else:
            self._handing.answer(process, ask, place)

    async def _answer_later(
        self, here: Here, arrival: asyncio.Future[Any], process: str, ask: int
    ) -> None:
        try:
            place = await self._reached(here, arrival)
        except Exception as error:
            _log.debug("a place that another process asks for is not known: %s", error)
            place = None
        self._handing.answer(process, ask, place or "")

    def _forget(self, key: _Key) -> None:
        here = self._here.pop(key)
        settle(here.unsaid, False)
        self._ask(self._questions.command("HDEL", self._index, written_client(*key)))

    # -- places

    def recall(self, channels: tuple[str, ...], client_id: str) -> asyncio.Future[str | None]:
        """See `Engine.recall`."""
        here = self._here.get((channels, client_id))
        arrival = None if here is None else here.arrival
        if here is None or arrival is None:
            place = ClientKeys(self._prefix, channels).place(client_id)
            arrival = self._questions.command("GET", place)
            return self._loop.create_task(_kept(arrival))
        return self._loop.create_task(self._reached(here, arrival))

    async def _reached(self, here: Here, arrival: asyncio.Future[Any]) -> str | None:
        reply = await asyncio.shield(arrival)
        # `_entered` has been called before.
        place = await asyncio.shield(here.place) if here.place is not None else ""
        if here.arrival is arrival:
            here.arrival = here.place = None
        return place or _text(reply[3])

    def remember(
        self, channels: tuple[str, ...], client_id: str, cursor: str, seconds: float
    ) -> None:
        """See `Engine.remember`."""
        key = ClientKeys(self._prefix, channels).place(client_id)
        self._ask(self._questions.command("SET", key, cursor, "PX", milliseconds(seconds)))

    # -- going

    def gone(self, channels: tuple[str, ...], client_id: str) -> asyncio.Future[bool]:
        """See `Presence.gone`."""
        key = channels, client_id
        gone: asyncio.Future[bool] = self._loop.create_future()
        here = self._here.pop(key, None)
        if here is None:
            # It is in another process.
            gone.set_result(False)
        elif here.unsaid is not None and not here.said:
            # No other process has heard of this visit: its hooks are called here.
            settle(here.unsaid, True)
            gone.set_result(True)
        else:
            settle(here.unsaid, False)
            self._leave(key, gone)
        return gone

    def _leave(self, key: _Key, gone: asyncio.Future[bool]) -> None:
        keys = ClientKeys(self._prefix, key[0])
        args = (encoded(key[1]), self._process)
        question = self._questions.run(MOVE, (keys.present, keys.place(key[1])), args)
        self._ask(question).add_done_callback(partial(self._left, key, gone))

    def _left(self, key: _Key, gone: asyncio.Future[bool], question: asyncio.Future[Any]) -> None:
        if question.cancelled():
            return
        comes_back = key in self._here
        if question.exception() is None:
            settle(gone, bool(question.result()))
            if not comes_back:
                field = written_client(*key)
                self._ask(self._questions.command("HDEL", self._index, field))
        elif comes_back:
            settle(gone, False)
        else:
            self._leaving[key] = gone

    # -- again

    def again(self) -> None:
        """Redis has answered: say what it did not take."""
        self.control.send_again()
        leaving, self._leaving = self._leaving, {}
        for key, gone in leaving.items():
            self._leave(key, gone)
        for key, here in self._here.items():
            unsaid, here.unsaid = here.unsaid, None
            if unsaid is not None:
                self._note(key, here)
                self._enter(key, here, unsaid)

    async def rejoin(self) -> None:
        """Say all clients again: Redis has lost them, or this process may have missed that some of
        them went elsewhere.
        """
        entries = [*self._here.items()]
        for begin in range(0, len(entries), PIECE):
            questions = []
            for key, here in entries[begin : begin + PIECE]:
                if self._here.get(key) is here:
                    self._note(key, here)
                    if here.said:
                        questions.append(self._enter(key, here, None))
            if questions:
                await asyncio.wait(questions)

    def subscribed(self) -> None:
        """Messages to all come from now on, and those to this process."""
        self.control.subscribed()
        again, self._subscribed = self._subscribed, True
        if again and (self._rejoining is None or self._rejoining.done()):
            self._rejoining = self._loop.create_task(self.rejoin())

    async def close(self) -> None:
        """Say what has to be said before the process ends."""
        try:
            async with asyncio.timeout(LAST_WORDS):
                await self.control.close()
                if self._said:
                    await asyncio.wait(self._said)
                await self._lives.close()
        except Exception as error:
            _log.debug("this process could not say that it ends: %s", error)
        if self._rejoining is not None:
            self._rejoining.cancel()
        self._handing.close()


async def _kept(question: asyncio.Future[Any]) -> str | None:
    return _text(await question)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()
