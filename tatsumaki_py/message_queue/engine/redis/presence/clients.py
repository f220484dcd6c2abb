"""Which process each named client is in.

Rules:
1. The hash `present` in Redis tells which process a client is in. Only scripts change the hash. A
   process knows the number of each client's last arrival in that process.
2. A step that did not reach Redis is repeated after the next heartbeat: at most one step for each
   client, because a later step replaces it.
3. A client is in the index of its process (`clients_of`) before it is in `present`, so that the
   clients of an ended process can be found.
4. A process that counted as dead learns from `swept_of` that other processes have called the hooks
   of its clients. It announces its present clients again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from tatsumaki_py.message_queue.engine import Clients
from tatsumaki_py.message_queue.engine.redis.options import RedisOptions
from tatsumaki_py.message_queue.engine.redis.presence.control import COUNTED, Control, Line
from tatsumaki_py.message_queue.engine.redis.presence.keys import (
    AllKeys,
    ClientKeys,
    clients_of,
    encoded,
    milliseconds,
    swept_of,
    written_client,
)
from tatsumaki_py.message_queue.engine.redis.presence.lives import KEPT, Lives
from tatsumaki_py.message_queue.engine.redis.presence.places import Here, Key, Places, settle
from tatsumaki_py.message_queue.engine.redis.presence.scripts import MOVE, UNKNOWN
from tatsumaki_py.message_queue.engine.redis.questions import Questions

__all__ = ["RedisPresence"]

PIECE = 200
"""Number of clients to announce again in one pipeline."""
LAST_WORDS = 2.0
"""Maximum seconds that an ending process spends to notify the others."""

_log = logging.getLogger("tatsumaki")


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
        self._swept = swept_of(options.prefix, process)
        self._here: dict[Key, Here] = {}
        self._unsaid: dict[Key, asyncio.Future[bool]] = {}
        """The arrivals that Redis has not recorded yet."""
        self._leaving: dict[Key, asyncio.Future[bool]] = {}
        """The departures that Redis has not recorded yet."""
        self._number = 0
        self._said: set[asyncio.Future[Any]] = set()
        """Questions in flight."""
        self.all = AllKeys(options.prefix).messages
        self.control = Control(options.prefix, process, questions, line, clients)
        self._lives = Lives(options, process, questions, clients, self.rejoin, self.again)
        self._places = Places(
            options.prefix,
            process,
            questions,
            line,
            clients,
            self._here,
            self._forget,
            self._lives.place,
        )
        self._rejoining: asyncio.Task[None] | None = None
        self._subscribed = False

    def begin(self) -> None:
        """The process is about to subscribe."""
        self.control.begin()
        self._lives.start()

    def told(self, data: bytes) -> None:
        """A message to this process has arrived."""
        if data[:1] == COUNTED:
            self.control.counted(data)
        else:
            self._places.told(data)

    def _ask(self, question: asyncio.Future[Any]) -> asyncio.Future[Any]:
        """Keep track of a question, so that it is answered before the process ends."""
        self._said.add(question)
        question.add_done_callback(self._said.discard)
        return question

    # -- arrivals

    def arrive(
        self, channels: tuple[str, ...], client_id: str, hook: str, seconds: float
    ) -> asyncio.Future[bool]:
        """See `Presence.arrive`."""
        self._line.listen()
        key = channels, client_id
        # The other processes do not know yet that the client had left.
        settle(self._leaving.pop(key, None), False)
        settle(self._unsaid.pop(key, None), False)
        here = self._here.get(key)
        if here is None:
            here = self._here[key] = Here()
        self._number += 1
        here.number = self._number
        about = b"%d %b" % (milliseconds(seconds), hook.encode())
        if here.about != about:
            here.about = about
            self._note(key, here)
        new: asyncio.Future[bool] = self._loop.create_future()
        self._enter(key, here, new)
        return new

    def _note(self, key: Key, here: Here) -> None:
        self._ask(self._questions.command("HSET", self._index, written_client(*key), here.about))

    def _enter(self, key: Key, here: Here, new: asyncio.Future[bool]) -> None:
        """Tell Redis that a client has arrived."""
        place = self._places.expect(here)
        self._move(key, here, "0").add_done_callback(
            partial(self._entered, key, here, here.number, new, place)
        )

    def _move(self, key: Key, here: Here, before: str) -> asyncio.Future[Any]:
        keys = ClientKeys(self._prefix, key[0])
        args = (encoded(key[1]), self._process, here.number, before, KEPT)
        return self._ask(self._questions.run(MOVE, (keys.present, keys.place(key[1])), args))

    def _entered(
        self,
        key: Key,
        here: Here,
        number: int,
        new: asyncio.Future[bool],
        place: asyncio.Future[str | None],
        question: asyncio.Future[Any],
    ) -> None:
        if question.cancelled():
            return
        error = question.exception()
        if error is None:
            was_new, process, there, kept = question.result()
            here.said = True
            self._places.found(key, place, process, int(there or 0), kept)
            settle(new, bool(was_new))
            return
        _log.debug("Redis could not be told that a client is here: %s", error)
        self._places.fail(place, error)
        stays = self._here.get(key) is here
        if stays and here.number == number:
            self._unsaid[key] = new
        else:
            # No other process has heard of a visit that has already ended.
            settle(new, not stays)

    # -- departures

    def gone(self, channels: tuple[str, ...], client_id: str) -> asyncio.Future[bool]:
        """See `Presence.gone`."""
        key = channels, client_id
        gone: asyncio.Future[bool] = self._loop.create_future()
        here = self._here.pop(key, None)
        unsaid = self._unsaid.pop(key, None)
        if here is None:
            # The client is in another process.
            gone.set_result(False)
        elif unsaid is not None and not here.said:
            # No other process has heard of this visit, so its hooks are called here.
            settle(unsaid, True)
            gone.set_result(True)
        else:
            settle(unsaid, False)
            self._leave(key, gone)
        return gone

    def _leave(self, key: Key, gone: asyncio.Future[bool]) -> None:
        keys = ClientKeys(self._prefix, key[0])
        args = (encoded(key[1]), self._process)
        question = self._questions.run(MOVE, (keys.present, keys.place(key[1])), args)
        self._ask(question).add_done_callback(partial(self._left, key, gone))

    def _left(self, key: Key, gone: asyncio.Future[bool], question: asyncio.Future[Any]) -> None:
        if question.cancelled():
            return
        comes_back = key in self._here
        if question.exception() is not None:
            if comes_back:
                settle(gone, False)
            else:
                self._leaving[key] = gone
            return
        if question.result() == UNKNOWN:
            self._ask_swept(lambda swept: settle(gone, not swept))
        else:
            settle(gone, bool(question.result()))
        if not comes_back:
            self._drop(key)

    def _drop(self, key: Key) -> None:
        self._ask(self._questions.command("HDEL", self._index, written_client(*key)))

    def _forget(self, key: Key) -> None:
        """A client is now in another process."""
        del self._here[key]
        settle(self._unsaid.pop(key, None), False)
        self._drop(key)

    # -- places

    def recall(self, channels: tuple[str, ...], client_id: str) -> Awaitable[str | None]:
        """See `Engine.recall`."""
        return self._places.recall((channels, client_id))

    def remember(
        self, channels: tuple[str, ...], client_id: str, cursor: str, seconds: float
    ) -> None:
        """See `Engine.remember`."""
        self._ask(self._places.remember((channels, client_id), cursor, seconds))

    # -- again

    def again(self) -> None:
        """Redis has answered: repeat the steps that did not reach it."""
        self.control.send_again()
        leaving, self._leaving = self._leaving, {}
        for key, gone in leaving.items():
            self._leave(key, gone)
        unsaid, self._unsaid = self._unsaid, {}
        for key, new in unsaid.items():
            here = self._here[key]
            self._note(key, here)
            self._enter(key, here, new)

    async def rejoin(self) -> None:
        """Announce all clients again, because Redis has lost them, or because this process may have
        missed that some of them moved to another process.
        """
        entries = [*self._here.items()]
        for begin in range(0, len(entries), PIECE):
            questions = []
            for key, here in entries[begin : begin + PIECE]:
                if self._here.get(key) is here:
                    self._note(key, here)
                    if here.said:
                        question = self._move(key, here, "1")
                        question.add_done_callback(partial(self._rejoined, key, here, here.number))
                        questions.append(question)
            if questions:
                await asyncio.wait(questions)

    def _rejoined(self, key: Key, here: Here, number: int, question: asyncio.Future[Any]) -> None:
        stays = self._here.get(key) is here and here.number == number
        if not stays or question.cancelled() or question.exception() is not None:
            return
        was_new, process, *_ = question.result()
        if process:
            # The client has meanwhile polled in another process.
            self._forget(key)
            self._clients.take(*key)
        elif was_new:
            self._ask_swept(partial(self._present_again, key, here))

    def _present_again(self, key: Key, here: Here, swept: bool) -> None:
        if swept and self._here.get(key) is here:
            self._clients.present_again(*key)

    def _ask_swept(self, answered: Callable[[bool], object]) -> None:
        """Redis does not know a client of this process. Find out whether other processes have
        called its hook, or whether Redis has lost the client.
        """

        def done(question: asyncio.Future[Any]) -> None:
            if not question.cancelled():
                answered(question.exception() is None and bool(question.result()))

        self._ask(self._questions.command("EXISTS", self._swept)).add_done_callback(done)

    def subscribed(self) -> None:
        """Messages to all processes and to this one arrive from now on."""
        self.control.subscribed()
        again, self._subscribed = self._subscribed, True
        if again and (self._rejoining is None or self._rejoining.done()):
            self._rejoining = self._loop.create_task(self.rejoin())

    async def close(self) -> None:
        """Notify the other processes that this one is ending."""
        try:
            async with asyncio.timeout(LAST_WORDS):
                await self.control.close()
                if self._said:
                    await asyncio.wait(self._said)
                await self._lives.close()
        except Exception as error:
            _log.debug("Redis could not be told that this process is ending: %s", error)
        if self._rejoining is not None:
            self._rejoining.cancel()
        self._places.close()
