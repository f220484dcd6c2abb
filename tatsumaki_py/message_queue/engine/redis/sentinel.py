"""Finds the server that takes writes, as Sentinel says.

Rules:
1. What a sentinel says may be old: a connection counts only if its server says that it is a master.
2. Sentinel is asked for each new connection. A connection that is open is not told of a failover;
   it is closed when its server refuses a write, and Sentinel closes those of an old master.
"""

from __future__ import annotations

from collections import deque

from redis import exceptions

from tatsumaki_py.message_queue.engine.redis.dial import AnyConnection, Dial
from tatsumaki_py.message_queue.engine.redis.options import RedisOptions

__all__ = ["Master"]


class Master:
    """The master that the sentinels of `options` name."""

    def __init__(self, options: RedisOptions, dial: Dial) -> None:
        self._service = options.service
        self._dial = dial
        self._sentinels = deque(options.hosts)
        """The one that answered last comes first."""

    async def open(self) -> AnyConnection:
        """A new connection to the master. `RedisError` if there is none."""
        said = []
        for _ in range(len(self._sentinels)):
            host, port = self._sentinels[0]
            try:
                return await self._dial.open(*await self._ask(host, port))
            except (exceptions.RedisError, OSError) as error:
                said.append(f"by the sentinel {host}:{port}: {error}")
                self._sentinels.rotate(-1)
        text = f"no master of {self._service!r} was found: {'; '.join(said)}"
        raise exceptions.ConnectionError(text)

    async def _ask(self, host: str, port: int) -> tuple[str, int]:
        question = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service)
        reply = await self._dial.ask_sentinel(host, port, question)
        if reply is None:
            raise exceptions.ConnectionError("no service of this name")
        return reply[0].decode(), int(reply[1])
