"""Which nodes of a cluster are away, so that commands for the others need not wait for them.

Rules:
1. A node that is away gets one command every `PAUSE` seconds, until it answers or has left the
   cluster.
2. The log gets one line when nodes go away and one when all are back. If all nodes are away, the
   engine logs that instead.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection

from redis import exceptions

from tatsumaki_py.message_queue.engine.redis.slots import Address

__all__ = ["Absent", "NodeAway"]

PAUSE = 0.5

_log = logging.getLogger("tatsumaki")


class NodeAway(exceptions.ConnectionError):
    """A node of a cluster is away, or a slot is moving to another node. Other nodes answer."""


class Absent:
    """Keeps track of the nodes that are away.

    Args:
        answers: returns whether a node answers.
        masters: asks which nodes have slots.
    """

    def __init__(
        self,
        answers: Callable[[Address], Awaitable[bool]],
        masters: Callable[[], Awaitable[Collection[Address]]],
    ) -> None:
        self._answers = answers
        self._masters = masters
        self._errors: dict[Address, object] = {}
        self._task: asyncio.Task[None] | None = None
        self._told = False
        self._since: float | None = None

    def __contains__(self, address: Address) -> bool:
        return address in self._errors

    def add(self, address: Address, error: object) -> None:
        """The node could not be reached, because of `error`."""
        self._errors.setdefault(address, error)
        if self._task is None:
            self._task = asyncio.create_task(self._watch())

    def error(self, address: Address) -> NodeAway:
        """The error for commands to this node."""
        return NodeAway(f"a node of the cluster is away: {self._errors[address]}")

    async def _watch(self) -> None:
        try:
            self._tell(await self._masters())
            while self._errors:
                await asyncio.gather(*(self._ask(address) for address in [*self._errors]))
                masters = await self._masters()
                for address in [*self._errors]:
                    if address not in masters:
                        del self._errors[address]
                self._tell(masters)
                if self._errors:
                    await asyncio.sleep(PAUSE)
        finally:
            self._task = None

    async def _ask(self, address: Address) -> None:
        if await self._answers(address):
            self._errors.pop(address, None)

    def _tell(self, masters: Collection[Address]) -> None:
        if self._told and not self._errors:
            self._told = False
            _log.warning("all nodes of the Redis cluster are back")
            return
        time = asyncio.get_running_loop().time()
        if not self._errors or all(one in self for one in masters):
            self._since = None
        elif self._since is None:
            self._since = time
        elif time >= self._since + PAUSE and not self._told:
            self._told = True
            (host, port), error = next(iter(self._errors.items()))
            _log.warning("the node %s:%d of the Redis cluster is away: %s", host, port, error)

    async def close(self) -> None:
        """Stop asking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._errors.clear()
