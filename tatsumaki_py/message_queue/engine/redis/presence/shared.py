"""The `Presence` of the Redis engine, which outlives the event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Protocol

from tatsumaki_py.message_queue.engine import Clients
from tatsumaki_py.message_queue.engine.redis.presence.clients import RedisPresence

__all__ = ["SharedPresence"]


class _Session(Protocol):
    def begin(self) -> None: ...

    @property
    def presence(self) -> RedisPresence: ...

    def listen(self) -> None: ...


class SharedPresence:
    """See `Presence`.

    Args:
        session: gives the session of the running loop; raises `RuntimeError` without a loop.
    """

    def __init__(self, session: Callable[[], _Session]) -> None:
        self._session = session
        self.clients: Clients = _Nobody()

    def connect(self, clients: Clients) -> None:
        """See `Presence.connect`."""
        self.clients = clients
        # A server has just started, or this is the first use: if Redis cannot be reached, log that
        # now.
        with contextlib.suppress(RuntimeError):
            self._session().begin()

    def begin(self) -> None:
        """See `Presence.begin`."""
        self._session().listen()

    def arrive(
        self, channels: tuple[str, ...], client_id: str, hook: str, seconds: float
    ) -> asyncio.Future[bool]:
        """See `Presence.arrive`."""
        return self._session().presence.arrive(channels, client_id, hook, seconds)

    def gone(self, channels: tuple[str, ...], client_id: str) -> asyncio.Future[bool] | None:
        """See `Presence.gone`."""
        with contextlib.suppress(RuntimeError):
            return self._session().presence.gone(channels, client_id)
        return None

    def count(self, channels: tuple[str, ...]) -> Awaitable[int]:
        """See `Presence.count`."""
        return self._session().presence.control.count(channels)

    def send(self, message: bytes) -> None:
        """See `Presence.send`."""
        self._session().presence.control.send(message)


class _Nobody:
    """Stands in for the clients of an engine that no queue uses."""

    def take(self, channels: tuple[str, ...], client_id: str) -> str:
        """See `Clients.take`."""
        return ""

    def place(self, channels: tuple[str, ...], client_id: str) -> str:
        """See `Clients.place`."""
        return ""

    def count(self, channels: tuple[str, ...]) -> int:
        """See `Clients.count`."""
        return 0

    def calls(self, hook: str) -> bool:
        """See `Clients.calls`."""
        return False

    def gone_elsewhere(self, channels: tuple[str, ...], client_id: str, hook: str) -> None:
        """See `Clients.gone_elsewhere`."""

    def present_again(self, channels: tuple[str, ...], client_id: str) -> None:
        """See `Clients.present_again`."""

    def receive(self, message: bytes) -> None:
        """See `Clients.receive`."""
