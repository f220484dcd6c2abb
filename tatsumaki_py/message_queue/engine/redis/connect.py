"""The connections of an engine: one batch after another, and subscriptions.

Rule: nothing above this module knows whether there is one server, a master behind Sentinel, or a
cluster.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from tatsumaki_py.message_queue.engine.redis.dial import AnyConnection, Dial
from tatsumaki_py.message_queue.engine.redis.node import Call, Node
from tatsumaki_py.message_queue.engine.redis.options import SENTINEL, RedisOptions
from tatsumaki_py.message_queue.engine.redis.sentinel import Master
from tatsumaki_py.message_queue.engine.redis.subscriber import ServerSubscriber, Subscriber

__all__ = ["Connections"]

MOST_KEYS = 1000
"""Keys that one MGET asks for."""


class Connections:
    """The connections of one event loop to Redis. They are opened when they are needed.

    Args:
        options: where Redis is.
    """

    publish_command = "PUBLISH"
    """The command that publishes to subscribers: in a cluster, SPUBLISH."""

    def __init__(self, options: RedisOptions) -> None:
        self._options = options
        self._open = _opener(options)
        self._node = Node(self._open, options.command_timeout)

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        """Send commands in one piece, and wait for their replies.

        Args:
            calls: commands. All keys of one have the same hash tag. Those of one hash tag run in
                order.

        Returns:
            The replies, in the same order. Instead of a reply there may be a `RedisError` or an
            `OSError`: `ResponseError` if Redis refused the command; with any other, it may have run
            or not.
        """
        return await self._node.run(calls)

    async def values(self, keys: Sequence[str | bytes]) -> list[Any]:
        """The values of `keys`, which may have different hash tags: bytes, None, or an exception
        as in `run`.
        """
        pieces = [keys[begin : begin + MOST_KEYS] for begin in range(0, len(keys), MOST_KEYS)]
        replies = await self.run([("MGET", *piece) for piece in pieces])
        found: list[Any] = []
        for piece, reply in zip(pieces, replies, strict=True):
            found += [reply] * len(piece) if isinstance(reply, Exception) else reply
        return found

    async def subscriber(self) -> Subscriber:
        """A new subscriber, connected. Raises `RedisError`."""
        return ServerSubscriber(await self._open(), self._options.command_timeout)

    async def close(self) -> None:
        """Close all connections but those of subscribers, which close their own."""
        await self._node.close()


def _opener(options: RedisOptions) -> Callable[[], Awaitable[AnyConnection]]:
    """Opens connections to the server that takes writes."""
    dial = Dial(options)
    if options.kind == SENTINEL:
        return Master(options, dial).open
    host, port = options.hosts[0] if options.hosts else ("", 0)
    return partial(dial.open, host, port)
