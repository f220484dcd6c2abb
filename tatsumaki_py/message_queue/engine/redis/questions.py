"""Scripts and commands that do not publish: all questions of one iteration of the loop form one
pipeline.

Rules:
1. Each question gets one answer, or an `Error.HTTP` 503 if Redis cannot be reached, or the error
   with which Redis refused it. While Redis is away, a question gets the 503 immediately.
2. A question may be sent twice, if the first answer was lost.
3. A server answers questions in the order in which they were asked, even after a restart: a script
   that it may not know is sent as text, once per pipeline. Only after a SCRIPT FLUSH do scripts run
   after the commands of the same pipeline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from tatsumaki_py.message_queue.alarm import now
from tatsumaki_py.message_queue.engine.redis.absent import NodeAway
from tatsumaki_py.message_queue.engine.redis.connect import Connections
from tatsumaki_py.message_queue.engine.redis.node import Call
from tatsumaki_py.message_queue.engine.redis.outage import Outage, unavailable
from tatsumaki_py.message_queue.engine.redis.replies import is_forgotten, is_passing
from tatsumaki_py.message_queue.engine.redis.scripts import Script

__all__ = ["Questions"]

MOST = 200
"""Maximum number of questions in one pipeline."""
ATTEMPTS = 2

_Question = tuple[Script | None, Call, asyncio.Future[Any]]


class Questions:
    """Asks Redis for one event loop."""

    def __init__(self, connections: Connections, outage: Outage) -> None:
        self._connections = connections
        self._outage = outage
        self._waiting: list[_Question] = []
        self._task: asyncio.Task[None] | None = None
        self._asked: list[_Question] = []
        self._known: set[Script] = set()
        """The scripts that Redis is known to have."""

    def run(
        self, script: Script, keys: Sequence[bytes], args: Sequence[bytes | str | int]
    ) -> asyncio.Future[Any]:
        """Run a script. Returns its reply, as bytes, int, list or None."""
        return self._ask(script, (len(keys), *keys, *args))

    def command(self, *words: bytes | str | int) -> asyncio.Future[Any]:
        """Run a command."""
        return self._ask(None, words)

    def ping(self, key: bytes) -> asyncio.Future[Any]:
        """Find out whether Redis is back and accepts writes, by setting `key` for a second."""
        return self._ask(None, ("SET", key, b"", "PX", 1000), ping=True)

    def _ask(self, script: Script | None, words: Call, ping: bool = False) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        if self._outage.has_failed("commands") and not ping:
            _settle(answer, unavailable())
            return answer
        self._waiting.append((script, words, answer))
        if self._task is None:
            self._task = loop.create_task(self._send())
        return answer

    async def _send(self) -> None:
        try:
            while self._waiting:
                questions, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                # The callers of some questions may be gone.
                self._asked = [one for one in questions if not one[2].done()]
                if self._asked:
                    await self._answer(self._asked)
        finally:
            self._task = None

    async def _answer(self, questions: list[_Question]) -> None:
        refusal: object = None
        attempts, began = 0, 0.0
        while attempts < ATTEMPTS:
            began = now()
            replies = await self._connections.run(self._calls(questions))
            again, refusal = [], None
            for question, reply in zip(questions, replies, strict=True):
                script, _, answer = question
                if script is not None and is_forgotten(reply):
                    self._known.discard(script)
                    again.append(question)
                elif isinstance(reply, NodeAway):
                    # Other nodes answer, so Redis is not away.
                    if not answer.done():
                        _settle(answer, unavailable("part of the Redis cluster is away"))
                elif is_passing(reply):
                    refusal = reply
                    self._known.clear()
                    again.append(question)
                elif not answer.done():
                    _settle(answer, reply)
            questions = again
            if not questions:
                self._outage.worked("commands")
                return
            attempts += refusal is not None
        self._outage.failed("commands", refusal, began)
        for _, _, answer in questions:
            if not answer.done():
                _settle(answer, unavailable())

    def _calls(self, questions: Sequence[_Question]) -> list[Call]:
        calls: list[Call] = []
        for script, words, _ in questions:
            if script is None:
                calls.append(words)
            elif script in self._known:
                calls.append(("EVALSHA", script.digest, *words))
            else:
                self._known.add(script)
                calls.append(("EVAL", script.text, *words))
        return calls

    async def close(self) -> None:
        """Fail all questions."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        for _, _, answer in (*self._asked, *self._waiting):
            if not answer.done():
                _settle(answer, unavailable())
        self._asked, self._waiting = [], []


def _settle(answer: asyncio.Future[Any], reply: Any) -> None:
    if isinstance(reply, Exception):
        answer.set_exception(reply)
        # The caller may be gone.
        answer.exception()
    else:
        answer.set_result(reply)
