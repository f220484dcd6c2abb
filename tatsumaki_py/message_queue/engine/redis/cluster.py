"""Commands to a cluster: each is sent to the node that has its slot.

Rules:
1. The commands of one hash tag stay in order. They belong to the same slot, so they are sent to the
   same node in one batch, and follow the slot together when it moves.
2. A command that a node refuses because a slot is moving is retried a few times, and then answered
   with a `NodeAway`, because it may succeed soon.
3. If a node cannot be reached, or if no node is known for a slot, the slots are queried again
   before the next batch, but at most once in `PAUSE` seconds. A moved slot needs no query, because
   the reply of its old node names the new one.
4. A node that does not answer, or temporarily refuses writes, is away. Commands for it fail
   immediately, so that commands for other nodes do not wait. The error is a `NodeAway` if other
   nodes answer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from redis import exceptions

from tatsumaki_py.message_queue.engine.redis.absent import Absent, NodeAway
from tatsumaki_py.message_queue.engine.redis.dial import Dial
from tatsumaki_py.message_queue.engine.redis.node import Call, Node
from tatsumaki_py.message_queue.engine.redis.options import RedisOptions
from tatsumaki_py.message_queue.engine.redis.replies import is_passing
from tatsumaki_py.message_queue.engine.redis.slots import Address, Slots, call_slot, slot_of

__all__ = ["Cluster"]

PAUSE = 0.1
TRIES = 1000
"""How many keys to try in order to find one in a slot of a node."""
REDIRECTS = 5
"""Maximum number of times that a command is sent, if its slot is moving."""

Moving = (exceptions.MovedError, exceptions.AskError, exceptions.TryAgainError)


class Cluster:
    """The nodes of a cluster.

    Args:
        options: name some of the nodes.
        dial: opens connections.
    """

    def __init__(self, options: RedisOptions, dial: Dial) -> None:
        self._options = options
        self._dial = dial
        self._slots = Slots()
        self._nodes: dict[Address, Node] = {}
        self._known: list[Address] = [*options.hosts]
        """Addresses to ask for the slots; the one that answered last comes first."""
        self._stale = True
        self._again = 0.0
        self._lock = asyncio.Lock()
        self._masters: set[Address] = set()
        self.absent = Absent(self._answers, self._look)

    # -- slots

    def owner(self, key: str | bytes) -> Address | None:
        """The node that has the slot of a key or a channel."""
        return self._slots.owner(slot_of(key))

    def moved(self, slot: int, address: Address) -> None:
        """A node has replied that the slot is now at `address`."""
        self._slots.move(slot, address)

    def doubt(self) -> None:
        """Query the slots again before their next use."""
        self._stale = True

    async def refresh(self) -> None:
        """Query the slots if they may have changed. Raises `RedisError` if no node answers."""
        async with self._lock:
            if not self._stale or asyncio.get_running_loop().time() < self._again:
                return
            said = []
            for address in sorted(self._known, key=self.absent.__contains__):
                (reply,) = await self._node(address).run([("CLUSTER", "SLOTS")])
                if isinstance(reply, Exception):
                    said.append(f"{address[0]}:{address[1]}: {reply}")
                    continue
                self._again = asyncio.get_running_loop().time() + PAUSE
                self._stale = False
                await self._know(self._slots.load(reply, address), address)
                return
            raise exceptions.ConnectionError(f"no node of the cluster answers: {'; '.join(said)}")

    async def _know(self, masters: set[Address], first: Address) -> None:
        """Remember the masters, and the nodes of the URL in case all others are gone."""
        others = [*masters, *self._options.hosts]
        self._known = [*dict.fromkeys([first, *others])]
        self._masters = masters
        for address in self._nodes.keys() - set(self._known):
            await self._nodes.pop(address).close()

    def _node(self, address: Address) -> Node:
        node = self._nodes.get(address)
        if node is None:
            opened = partial(self._dial.open, *address)
            node = self._nodes[address] = Node(opened, self._options.command_timeout)
        return node

    async def _look(self) -> set[Address]:
        """Query the slots. Returns the nodes that are known to have some."""
        self._stale = True
        with contextlib.suppress(exceptions.RedisError):
            await self.refresh()
        return self._masters

    async def _answers(self, address: Address) -> bool:
        """Whether a node accepts writes to one of its slots. A running node may refuse while the
        cluster is down.
        """
        keys = (f"{self._options.prefix}:{{{n}}}:p" for n in range(TRIES))
        key = next((key for key in keys if self.owner(key) == address), None)
        call = ("PING",) if key is None else ("SET", key, b"", "PX", 1000)
        (reply,) = await self._node(address).run([call])
        return not is_passing(reply)

    # -- commands

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        """See `Connections.run`."""
        replies: list[Any] = [None] * len(calls)
        left: Sequence[int] = range(len(calls))
        for attempt in range(REDIRECTS):
            if attempt:
                # A moving slot needs a moment.
                await asyncio.sleep(0.005 * (2**attempt - 1))
            left = await self._attempt(calls, left, replies)
            if not left:
                break
        for index, reply in enumerate(replies):
            if isinstance(reply, Moving):
                replies[index] = NodeAway(f"the slot is moving: {reply}")
        return replies

    async def _attempt(
        self, calls: Sequence[Call], indexes: Sequence[int], replies: list[Any]
    ) -> list[int]:
        """Run the calls with these indexes. Returns those to run again because their slot is
        elsewhere.
        """
        try:
            if self._stale:
                await self.refresh()
        except exceptions.RedisError as error:
            for index in indexes:
                replies[index] = error
            return []
        groups: dict[Address, list[int]] = {}
        for index in indexes:
            address = self._address(calls[index])
            if address is None:
                self._stale = True
                replies[index] = NodeAway("no node has the slot of the key")
            else:
                groups.setdefault(address, []).append(index)
        work = [self._at(address, calls, group, replies) for address, group in groups.items()]
        await asyncio.gather(*work)
        await self._ask(calls, indexes, replies)
        return [index for index in indexes if isinstance(replies[index], Moving)]

    def _address(self, call: Call) -> Address | None:
        slot = call_slot(call)
        return self._known[0] if slot is None else self._slots.owner(slot)

    async def _at(
        self, address: Address, calls: Sequence[Call], group: list[int], replies: list[Any]
    ) -> None:
        found = await self._found(address, [calls[index] for index in group])
        for index, reply in zip(group, found, strict=True):
            replies[index] = reply
            if isinstance(reply, exceptions.MovedError):
                self.moved(reply.slot_id, (reply.host or address[0], reply.port))

    async def _found(self, address: Address, batch: Sequence[Call]) -> Sequence[Any]:
        if address in self.absent:
            return [self._away(address)] * len(batch)
        found = await self._node(address).run(batch)
        # If the connection broke, all replies are that error.
        error = next((reply for reply in found if is_passing(reply)), None)
        if error is None:
            return found
        self._stale = True
        surely = isinstance(error, exceptions.TimeoutError | exceptions.ResponseError)
        if surely or not await self._answers(address):
            self.absent.add(address, error)
            return [self._away(address) if is_passing(reply) else reply for reply in found]
        return found

    def _away(self, address: Address) -> Exception:
        if any(one not in self.absent for one in self._masters):
            return self.absent.error(address)
        return exceptions.ConnectionError("no node of the cluster answers")

    async def _ask(self, calls: Sequence[Call], indexes: Iterable[int], replies: list[Any]) -> None:
        """Run calls at the node that already has their keys but not yet their slot."""
        groups: dict[Address, list[int]] = {}
        for index in indexes:
            reply = replies[index]
            if type(reply) is exceptions.AskError:
                groups.setdefault((reply.host, reply.port), []).append(index)
        for address, group in groups.items():
            batch = [call for index in group for call in (("ASKING",), calls[index])]
            found = await self._node(address).run(batch)
            for index, reply in zip(group, found[1::2], strict=True):
                replies[index] = reply

    async def values(self, keys: Sequence[str | bytes]) -> list[Any]:
        """See `Connections.values`."""
        slots: dict[int, list[int]] = {}
        for index, key in enumerate(keys):
            slots.setdefault(slot_of(key), []).append(index)
        groups = [*slots.values()]
        replies = await self.run([("MGET", *[keys[index] for index in one]) for one in groups])
        found: list[Any] = [None] * len(keys)
        for group, reply in zip(groups, replies, strict=True):
            values = [reply] * len(group) if isinstance(reply, Exception) else reply
            for index, value in zip(group, values, strict=True):
                found[index] = value
        return found

    async def close(self) -> None:
        """Close all connections."""
        await self.absent.close()
        for node in self._nodes.values():
            await node.close()
