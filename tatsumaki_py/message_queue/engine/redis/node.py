"""Commands to one server: batches, each on a separate connection, and their replies.

Rules:
1. A batch is one write. Its commands run in order; those of two concurrent batches may interleave.
2. A reply may be an exception. If the connection breaks, all replies of the batch are that error,
   even for commands that have run.
3. A connection whose server refuses writes is closed, because another server may now be the master.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import hiredis
from redis import exceptions
from redis.exceptions import RedisError

from tatsumaki_py.message_queue.engine.redis.dial import AnyConnection

__all__ = ["Call", "Node"]

Call = Sequence[bytes | str | int | float]
"""A command and its arguments."""

MAX_IN_FLIGHT = 4
"""Maximum number of connections, and of batches in flight. Further batches wait."""
MOST_KEYS = 1000
"""Maximum number of keys in one MGET."""


class Node:
    """One server, or the current master.

    Args:
        dial: opens a connection to it.
        timeout: seconds for a batch.
    """

    def __init__(self, dial: Callable[[], Awaitable[AnyConnection]], timeout: float) -> None:
        self._dial = dial
        self._timeout = timeout
        self._turns = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._idle: list[AnyConnection] = []
        self._closed = False
        self._renewed = 0

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        """The replies to `calls`, in order."""
        async with self._turns:
            renewed = self._renewed
            try:
                connection = await self._connection()
            except (RedisError, OSError) as error:
                return [error] * len(calls)
            try:
                async with asyncio.timeout(self._timeout):
                    await connection.send_packed_command(_packed(calls))
                    replies = [await _reply(connection) for _ in calls]
            except TimeoutError:
                await connection.disconnect(nowait=True)
                late = exceptions.TimeoutError(f"no answer within {self._timeout:.3g} s")
                return [late] * len(calls)
            except (RedisError, OSError) as error:
                await connection.disconnect(nowait=True)
                # The other connections may have been closed at the same time: let the next attempt
                # open a new one.
                await self._drop_idle()
                return [error] * len(calls)
            except BaseException:
                await connection.disconnect(nowait=True)
                raise
            refused = any(isinstance(reply, exceptions.ReadOnlyError) for reply in replies)
            if self._closed or refused or renewed != self._renewed:
                await connection.disconnect(nowait=True)
            else:
                self._idle.append(connection)
            return replies

    async def values(self, keys: Sequence[str | bytes]) -> list[Any]:
        """The values of keys; a value may be an exception instead."""
        pieces = [keys[begin : begin + MOST_KEYS] for begin in range(0, len(keys), MOST_KEYS)]
        replies = await self.run([("MGET", *piece) for piece in pieces])
        found: list[Any] = []
        for piece, reply in zip(pieces, replies, strict=True):
            found += [reply] * len(piece) if isinstance(reply, Exception) else reply
        return found

    async def _connection(self) -> AnyConnection:
        if self._closed:
            raise exceptions.ConnectionError("the connections are closed")
        while self._idle:
            connection = self._idle.pop()
            # A connection that the server has closed is also readable.
            if not await connection.can_read():
                return connection
            await connection.disconnect(nowait=True)
        return await self._dial()

    async def close(self) -> None:
        """Close the connections; those in use are closed after their batch."""
        self._closed = True
        await self.renew()

    async def renew(self) -> None:
        """Stop using the open connections; those in use finish their batch first."""
        self._renewed += 1
        await self._drop_idle()

    async def _drop_idle(self) -> None:
        while self._idle:
            await self._idle.pop().disconnect(nowait=True)


def _packed(calls: Sequence[Call]) -> bytes:
    # redis-py's asyncio connections pack commands in Python, which takes seven times as long.
    pack: Callable[[Any], bytes] = hiredis.pack_command
    return b"".join([pack(tuple(call)) for call in calls])


async def _reply(connection: AnyConnection) -> Any:
    try:
        return await connection.read_response()
    except exceptions.ResponseError as error:
        return error
