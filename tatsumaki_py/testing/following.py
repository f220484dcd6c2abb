"""A client that reads in a task, and reconnects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Self

from tatsumaki_py.testing.message import Ended, Message, Refused
from tatsumaki_py.testing.reply import Reply
from tatsumaki_py.testing.session import Session
from tatsumaki_py.testing.target import Target
from tatsumaki_py.testing.waiting import until, within

__all__ = ["LOST", "Following"]

LOST = (EOFError, OSError, Ended)
"""Errors that end a connection and are not the client's fault."""


class Following(Session):
    """The part of `Subscriber` that reads in a task."""

    def __init__(
        self,
        target: Target,
        transport: str | Sequence[str],
        cursor: str | None,
        remembers: bool,
        timeout: float,
    ) -> None:
        super().__init__(target, transport, cursor, remembers)
        self.timeout = timeout
        """Seconds of real time to wait for a message."""
        self.refusals: list[Reply] = []
        """The answers without events that `follow` has received."""
        self._task: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    def _add(self, message: Message) -> None:
        super()._add(message)
        self._news.set()

    def follow(self, pause: float = 0.01) -> Self:
        """Read in a task from now on, and reconnect whenever the connection ends, until `aclose` or
        the end of the channel. A refusal with a status of 400 to 499, except 429, also ends the
        task.

        Args:
            pause: seconds to wait before each reconnect.
        """
        if self._task is not None:
            raise RuntimeError(f"{self!r} is already following")
        self._task = asyncio.get_running_loop().create_task(self._follow(pause))
        self._task.add_done_callback(lambda _: self._news.set())
        return self

    async def _follow(self, pause: float) -> None:
        try:
            while True:
                try:
                    if self._attempt is None:
                        await self._start()
                    while True:
                        message = await self._read()
                        if message is not None:
                            self.unread.append(message)
                except Refused as refused:
                    self._drop(f"refused ({refused})")
                    self.refusals.append(refused.reply)
                    if 400 <= refused.reply.status < 500 and refused.reply.status != 429:
                        raise
                except LOST as lost:
                    self._drop(f"lost ({type(lost).__name__})")
                if self.ended:
                    return
                await asyncio.sleep(pause)
        finally:
            self._drop("closed by the client")

    async def _followed(self) -> None:
        """Wait until the task has read a message."""
        assert self._task is not None
        self._news.clear()
        if not self._task.done():
            await self._news.wait()
        if self._task.done():
            self._task.result()
            if not self.unread:
                raise Ended

    async def _stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                # Mark the exception as seen; `aclose` raises it.
                task.exception()

    async def until(
        self, condition: Callable[[Self], object], timeout: float | None = None
    ) -> None:
        """Wait until ``condition(client)`` is true, while the client follows. Raises `TypeError` if
        the condition is an async function.
        """
        seconds = self.timeout if timeout is None else timeout
        await self._until(lambda: condition(self), "the condition was not true", seconds)

    async def _until(self, condition: Callable[[], object], problem: str, seconds: float) -> None:
        def check() -> object:
            if self._task is not None and self._task.done() and not self._task.cancelled():
                self._task.result()
            return condition()

        late = f"{problem} within {seconds:g} s"
        async with within(seconds, lambda: self._failed(late)):
            await until(check, 2 * seconds)
