"""A pub/sub connection."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from redis import exceptions

from tatsumaki_py.message_queue.engine.redis.dial import AnyConnection

__all__ = ["MESSAGE", "SUBSCRIBED", "UNSUBSCRIBED", "ServerSubscriber", "Subscriber"]

MESSAGE, SUBSCRIBED, UNSUBSCRIBED = b"message", b"subscribe", b"unsubscribe"


class Subscriber(Protocol):
    """Subscriptions to channels, and their messages. A subscriber can be used until `read` raises;
    after that, the caller closes it and opens a new one.
    """

    async def subscribe(self, *channels: str | bytes) -> None:
        """Ask for the messages of `channels`. For each channel, `read` returns SUBSCRIBED; all
        messages published after that will arrive. Raises `RedisError`.
        """

    async def unsubscribe(self, *channels: str | bytes) -> None:
        """Stop the messages of `channels`. `read` returns UNSUBSCRIBED. Raises `RedisError`."""

    async def read(self) -> list[Any]:
        """The next message: its kind, the channel as bytes, the data. Only one task may call this,
        and it must not be cancelled before the subscriber is closed.

        If SUBSCRIBED arrives again for a channel, its messages in between may be lost. Raises
        `RedisError` if the connection is lost.
        """

    async def close(self) -> None:
        """Close the connections."""


class ServerSubscriber:
    """A `Subscriber` of one server.

    Args:
        connection: its connection, which it closes.
        timeout: seconds for sending a command.
    """

    def __init__(self, connection: AnyConnection, timeout: float) -> None:
        self._connection = connection
        self._timeout = timeout

    async def subscribe(self, *channels: str | bytes) -> None:
        """See `Subscriber.subscribe`."""
        await self._send("SUBSCRIBE", channels)

    async def unsubscribe(self, *channels: str | bytes) -> None:
        """See `Subscriber.unsubscribe`."""
        await self._send("UNSUBSCRIBE", channels)

    async def _send(self, command: str, channels: Sequence[str | bytes]) -> None:
        # Without a channel, Redis would unsubscribe from all of them.
        if channels:
            try:
                async with asyncio.timeout(self._timeout):
                    await self._connection.send_command(command, *channels)
            except TimeoutError:
                raise exceptions.TimeoutError(
                    f"{command} was not sent within {self._timeout:g} s"
                ) from None

    async def read(self) -> list[Any]:
        """See `Subscriber.read`."""
        reply: list[Any] = await self._connection.read_response()
        return reply

    async def close(self) -> None:
        """See `Subscriber.close`."""
        await self._connection.disconnect(nowait=True)
