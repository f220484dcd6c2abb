"""Messages between processes, to all or to one, and the counting of clients.

Rules:
1. A command to other processes is kept in a stream, from which a process that was not subscribed
   for a while reads the commands it missed. Each process runs a command once, even if it both
   receives the command and reads it in the stream, or if the command was sent twice because Redis
   did not answer.
2. Messages that cannot be sent now wait, up to a limit, and are sent in order.
3. A question to all processes is not kept: only the processes that receive it answer it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from tatsumaki_py.message_queue.engine import Clients
from tatsumaki_py.message_queue.engine.redis.outage import unavailable
from tatsumaki_py.message_queue.engine.redis.presence.keys import AllKeys
from tatsumaki_py.message_queue.engine.redis.presence.scripts import SAY, SAY_SHARDED
from tatsumaki_py.message_queue.engine.redis.questions import Questions
from tatsumaki_py.message_queue.ids import position

__all__ = ["ANSWER", "COUNTED", "Control", "Line"]

ANSWER = 1.0
"""Seconds to wait for the answers of other processes."""
MAX_UNSENT = 10_000
"""Maximum number of messages that wait for Redis."""
MAX_SENDERS = 1000
"""Maximum number of processes whose last message is remembered."""
KEPT = 1000
"""Roughly how many messages Redis keeps."""
KEPT_TIME = 86_400_000
"""Milliseconds for which Redis keeps these messages."""

SAID, ASKED, COUNTED = b"!", b"?", b"="
"""The beginnings of messages: a command, a question to all, an answer."""

_log = logging.getLogger("tatsumaki")


class Line(Protocol):
    """How a process sends messages to others."""

    sharded: bool
    """Whether a cluster's sharded pub/sub is used."""

    def listen(self) -> None:
        """Subscribe to the messages to all processes and to this one."""

    def send(self, process: str, data: bytes) -> asyncio.Future[int]:
        """Send a message to one process. Returns how many processes receive it."""

    def publish(self, channel: bytes, data: bytes) -> asyncio.Future[int]:
        """Send a message to all subscribers of `channel`. Returns their number."""


class Control:
    """The messages of one process, in one event loop."""

    def __init__(
        self, prefix: str, process: str, questions: Questions, line: Line, clients: Clients
    ) -> None:
        self._process = process
        self._questions = questions
        self._line = line
        self._clients = clients
        self._keys = AllKeys(prefix)
        self._loop = asyncio.get_running_loop()
        self._say = SAY_SHARDED if line.sharded else SAY
        self._last: str | None = None
        """The id of the last command that was run, or of the last one before this process listened.
        """
        self._beginning: asyncio.Future[Any] | None = None
        self._catching_up: asyncio.Task[None] | None = None
        self._subscribed: asyncio.Future[None] = self._loop.create_future()
        self._obeyed: dict[bytes, int] = {}
        """The number of each process's last message, oldest first."""
        self._unsent: deque[tuple[int, bytes]] = deque()
        self._number = 0
        self._sender: asyncio.Task[None] | None = None
        self._counts: dict[int, _Count] = {}
        self._count = 0
        self._running: dict[tuple[str, ...], asyncio.Task[int]] = {}
        self._next: dict[tuple[str, ...], asyncio.Task[int]] = {}

    def begin(self) -> None:
        """The process is about to subscribe: find out which message was the last before that."""
        if self._beginning is None:
            log = self._keys.log
            self._beginning = self._questions.command("XREVRANGE", log, "+", "-", "COUNT", 1)

    # -- commands

    def send(self, message: bytes) -> None:
        """See `Presence.send`."""
        self._number += 1
        self._unsent.append((self._number, message))
        if len(self._unsent) > MAX_UNSENT:
            self._unsent.popleft()
            _log.error("a message to the other processes was dropped: too many wait for Redis")
        self.send_again()

    def send_again(self) -> None:
        """Send the waiting messages."""
        if self._unsent and self._sender is None:
            self._sender = self._loop.create_task(self._send())

    async def _send(self) -> None:
        keys = self._keys
        try:
            while self._unsent:
                number, message = self._unsent[0]
                args = (keys.messages, self._process, number, message, KEPT, KEPT_TIME)
                await self._questions.run(self._say, (keys.log,), args)
                if self._unsent and self._unsent[0][0] == number:
                    self._unsent.popleft()
        except Exception as error:
            _log.debug("a message to the other processes waits: %s", error)
        finally:
            self._sender = None

    def heard(self, data: bytes) -> None:
        """A message to all processes has arrived."""
        if data[:1] == SAID:
            before, id, process, number, message = data[1:].split(b" ", 4)
            if before == b"0-0":
                # This is the first command of a new log, for example after Redis lost the old one.
                self._last = "0-0"
            if self._last == before.decode():
                self._obey(id, process, number, message)
            else:
                self._catch_up()
        else:
            self._answer(data)

    def subscribed(self) -> None:
        """Messages arrive from now on. Earlier ones may have been lost."""
        if not self._subscribed.done():
            self._subscribed.set_result(None)
        self._catch_up()

    def _catch_up(self) -> None:
        if self._catching_up is None:
            self._catching_up = self._loop.create_task(self._read())

    async def _read(self) -> None:
        """Run the commands in the log that have not been run yet."""
        try:
            if self._last is None:
                self.begin()
                assert self._beginning is not None
                newest = await self._beginning
                self._last = newest[0][0].decode() if newest else "0-0"
            while True:
                after = "(" + self._last
                rows = await self._questions.command("XRANGE", self._keys.log, after, "+")
                self._catching_up = None if not rows else self._catching_up
                if not rows:
                    return
                for id, fields in rows:
                    self._obey(id, *fields[1::2])
        except Exception as error:
            # The commands are read again after the next subscription.
            self._beginning = None
            _log.debug("the messages of other processes could not be read: %s", error)
        finally:
            self._catching_up = None

    def _obey(self, id: bytes, process: bytes, number: bytes, message: bytes) -> None:
        if self._last is None or position(id.decode()) > position(self._last):
            self._last = id.decode()
        if int(number) <= self._obeyed.get(process, 0):
            return
        self._obeyed.pop(process, None)
        self._obeyed[process] = int(number)
        if len(self._obeyed) > MAX_SENDERS:
            del self._obeyed[next(iter(self._obeyed))]
        if process.decode() != self._process:
            self._clients.receive(message)

    # -- counting

    async def count(self, channels: tuple[str, ...]) -> int:
        """See `Presence.count`. Callers that arrive while a question is in flight share the next
        one.
        """
        task = self._next.get(channels)
        if task is None:
            task = self._next[channels] = self._loop.create_task(self._ask(channels))
        return await asyncio.shield(task)

    async def _ask(self, channels: tuple[str, ...]) -> int:
        before = self._running.get(channels)
        if before is not None:
            await asyncio.wait([before])
        task = self._running[channels] = self._next.pop(channels)
        try:
            return await self._ask_all(channels)
        finally:
            if self._running.get(channels) is task:
                del self._running[channels]

    async def _ask_all(self, channels: tuple[str, ...]) -> int:
        self._line.listen()
        try:
            # The answers arrive only after the subscription.
            async with asyncio.timeout(ANSWER):
                await asyncio.shield(self._subscribed)
        except TimeoutError:
            raise unavailable() from None
        self._count += 1
        number, count = self._count, _Count()
        self._counts[number] = count
        question = json.dumps([self._process, number, channels]).encode()
        try:
            hearers = await self._line.publish(self._keys.messages, ASKED + question)
            await count.wait(hearers)
        finally:
            del self._counts[number]
        if not count.heard:
            # The pub/sub connection is lost, and the answers with it.
            raise unavailable()
        return count.sum

    def _answer(self, data: bytes) -> None:
        process, number, channels = json.loads(data[1:])
        if process != self._process:
            here = self._clients.count(tuple(channels))
            self._line.send(process, COUNTED + b"%d %d" % (number, here))
        elif number in self._counts:
            self._counts[number].hear()

    def counted(self, data: bytes) -> None:
        """Another process has answered."""
        number, there = map(int, data[1:].split())
        count = self._counts.get(number)
        if count is not None:
            count.add(there)

    async def close(self) -> None:
        """Send the waiting messages, for at most `ANSWER` seconds."""
        if self._sender is not None:
            await asyncio.wait([self._sender], timeout=ANSWER)
        tasks: list[asyncio.Task[Any]] = [*self._running.values(), *self._next.values()]
        tasks += [one for one in (self._sender, self._catching_up) if one is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Count:
    """The answers to one question."""

    def __init__(self) -> None:
        self.sum = 0
        self.heard = False
        """Whether the asking process has received its own question."""
        self._answers = 0
        self._changed: Callable[[], None] = lambda: None

    def hear(self) -> None:
        """The question has come back."""
        self.heard = True
        self.add(0)

    def add(self, there: int) -> None:
        """Another process has answered with its number of clients."""
        self.sum += there
        self._answers += 1
        self._changed()

    async def wait(self, answers: int) -> None:
        """Wait at most `ANSWER` seconds for that many answers."""
        event = asyncio.Event()

        def changed() -> None:
            if self._answers >= answers:
                event.set()

        self._changed = changed
        changed()
        try:
            async with asyncio.timeout(ANSWER):
                await event.wait()
        except TimeoutError:
            _log.debug(
                "only %d of %d processes have answered with their number of clients",
                self._answers,
                answers,
            )
        finally:
            self._changed = lambda: None
