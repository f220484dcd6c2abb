"""Asks Sentinel for the master, and notices a failover.

Rules:
1. A sentinel's answer may be outdated: a connection is used only if its server says that it is a
   master.
2. Sentinel is asked for each new connection. While connections are open, one sentinel reports
   failovers. If no sentinel can be reached, a connection is closed when its server refuses a write.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from redis import exceptions

from tatsumaki_py.message_queue.engine.redis.dial import AnyConnection, Dial
from tatsumaki_py.message_queue.engine.redis.options import RedisOptions
from tatsumaki_py.message_queue.engine.redis.slots import Address

__all__ = ["Master"]

EVENT = "+switch-master"


class Master:
    """The master that the sentinels of `options` name.

    Args:
        moved: called when another server has become the master.
    """

    def __init__(
        self, options: RedisOptions, dial: Dial, moved: Callable[[], Awaitable[None]]
    ) -> None:
        self._options = options
        self._dial = dial
        self._moved = moved
        self._sentinels = deque(options.hosts)
        """The sentinels; the one that answered last comes first."""
        self._address: Address | None = None
        """The address of the newest connection."""
        self._follower: asyncio.Task[None] | None = None

    async def open(self) -> AnyConnection:
        """A new connection to the master. Raises `RedisError` if there is none."""
        said = []
        for _ in range(len(self._sentinels)):
            host, port = self._sentinels[0]
            try:
                address = await self._ask(host, port)
                connection = await self._dial.open(*address)
            except (exceptions.RedisError, OSError) as error:
                said.append(f"sentinel {host}:{port}: {error}")
                self._sentinels.rotate(-1)
                continue
            self._address = address
            if self._follower is None:
                self._follower = asyncio.create_task(self._follow())
            return connection
        service = self._options.service
        text = f"no master of {service!r} was found: {'; '.join(said)}"
        raise exceptions.ConnectionError(text)

    async def _ask(self, host: str, port: int) -> Address:
        connection = await self._dial.open_sentinel(host, port)
        try:
            return await self._answer(connection, host, port)
        finally:
            await connection.disconnect(nowait=True)

    async def _answer(self, connection: AnyConnection, host: str, port: int) -> Address:
        question = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._options.service)
        async with self._dial.asking_sentinel(connection, host, port):
            await connection.send_command(*question)
            reply = await connection.read_response()
        if reply is None:
            raise exceptions.ConnectionError("no service has this name")
        return reply[0].decode(), int(reply[1])

    # -- failovers

    async def _follow(self) -> None:
        """Listen for failovers at one sentinel, or at the next one if the first is away."""
        sentinels = deque(self._sentinels)
        while True:
            try:
                await self._hear(*sentinels[0])
            except (exceptions.RedisError, OSError):
                sentinels.rotate(-1)
                await asyncio.sleep(self._options.max_backoff / len(sentinels))

    async def _hear(self, host: str, port: int) -> None:
        connection = await self._dial.open_sentinel(host, port)
        try:
            await connection.send_command("SUBSCRIBE", EVENT)
            while True:
                kind, _, data = await connection.read_response()
                if kind == b"message":
                    service, _, _, *new = data.decode().split()
                    address = new[0], int(new[1])
                    if service != self._options.service:
                        continue
                else:
                    # The failover may have happened before the subscription.
                    address = await self._ask(host, port)
                if address != self._address:
                    await self._moved()
        finally:
            await connection.disconnect(nowait=True)

    async def close(self) -> None:
        """Stop listening for failovers."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
            self._follower = None
