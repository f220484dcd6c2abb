"""The connections of an engine: batches of commands, and subscriptions.

Rule: modules above this one do not know whether there is one server, a master behind Sentinel, or a
cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import WeakSet

from tatsumaki_py.message_queue.engine.redis.cluster import Cluster
from tatsumaki_py.message_queue.engine.redis.cluster_subscriber import ClusterSubscriber
from tatsumaki_py.message_queue.engine.redis.dial import Dial
from tatsumaki_py.message_queue.engine.redis.node import Call, Node
from tatsumaki_py.message_queue.engine.redis.options import CLUSTER, SENTINEL, RedisOptions
from tatsumaki_py.message_queue.engine.redis.sentinel import Master
from tatsumaki_py.message_queue.engine.redis.subscriber import ServerSubscriber, Subscriber

__all__ = ["Connections", "patient"]


class Connections:
    """The connections of one event loop to Redis. They are opened on demand.

    Args:
        options: where Redis is.
    """

    publish_command: str
    """The command that publishes to subscribers: PUBLISH, or SPUBLISH in a cluster."""

    def __init__(self, options: RedisOptions) -> None:
        if options.kind == CLUSTER:
            options = patient(options)
        self._options = options
        self._dial = Dial(options)
        self._subscribers: WeakSet[ServerSubscriber] = WeakSet()
        self._commands: Node | Cluster
        self._master: Master | None = None
        self.publish_command = "PUBLISH"
        if options.kind == CLUSTER:
            self.publish_command = "SPUBLISH"
            self._commands = Cluster(options, self._dial)
            return
        if options.kind == SENTINEL:
            self._master = Master(options, self._dial, self._renew)
            self._open = self._master.open
        else:
            host, port = options.hosts[0] if options.hosts else ("", 0)
            self._open = partial(self._dial.open, host, port)
        self._commands = Node(self._open, options.command_timeout)

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        """Send commands in one batch, and wait for their replies.

        Args:
            calls: commands. All keys of one command must have the same hash tag. Commands of one
                hash tag run in order.

        Returns:
            The replies, in the same order. A reply may be a `RedisError` or an `OSError` instead:
            `ResponseError` if Redis refused the command; after any other error, the command may
            have run.
        """
        return await self._commands.run(calls)

    async def values(self, keys: Sequence[str | bytes]) -> list[Any]:
        """The values of `keys`, which may have different hash tags: bytes, None, or an exception
        as in `run`.
        """
        return await self._commands.values(keys)

    async def subscriber(self) -> Subscriber:
        """A new, connected subscriber. Raises `RedisError`."""
        if isinstance(self._commands, Cluster):
            await self._commands.refresh()
            return ClusterSubscriber(self._commands, self._dial, self._options)
        subscriber = ServerSubscriber(await self._open(), self._options.command_timeout)
        self._subscribers.add(subscriber)
        return subscriber

    async def _renew(self) -> None:
        """Another server has become the master: close the connections to the old one, and those of
        subscribers.
        """
        if isinstance(self._commands, Node):
            await self._commands.renew()
        for subscriber in [*self._subscribers]:
            await subscriber.close()

    async def close(self) -> None:
        """Close all connections except those of subscribers, which close their own."""
        if self._master is not None:
            await self._master.close()
        await self._commands.close()


def patient(options: RedisOptions) -> RedisOptions:
    """Options that give each publish enough time for several attempts, even if a server does not
    answer.

    In a cluster, publishes to other nodes wait for an unresponsive node, once for a connection and
    once for a reply. These two waits must not use up the time of those publishes.
    """
    most = options.publish_timeout / 3
    return replace(
        options,
        connect_timeout=min(options.connect_timeout, most),
        command_timeout=min(options.command_timeout, most),
    )
