"""Messages and queries between this process and the others that share its engine.

Rules:
1. Without a `presence` in the engine, no method waits, and no message is sent.
2. A message is a JSON object. Its "do" names an action. A process ignores unknown actions, because
   the message may come from another version of the program.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any, Protocol

from tatsumaki_py.message_queue.engine import Presence
from tatsumaki_py.message_queue.source import Follower

__all__ = ["Audiences", "Processes"]

_log = logging.getLogger("tatsumaki")


class Audiences(Protocol):
    """The audiences of this process."""

    def bind(self, call: str) -> None:
        """See `Registry.bind`."""

    @property
    def presence(self) -> Presence | None:
        """See `Engine.presence`."""

    def audience(self, channels: tuple[str, ...]) -> Follower | None:
        """The clients that listen to exactly these channels; None if there are none."""

    def listening(self, channels: tuple[str, ...]) -> list[Follower]:
        """The audience of exactly these channels and, for one channel, also the audiences that
        listen to it together with other channels.
        """


class Processes:
    """The processes that share an engine. Implements `Clients` for the engine."""

    def __init__(self, audiences: Audiences) -> None:
        self._audiences = audiences
        self.hooks: dict[str, Callable[[tuple[str, ...], str], None]] = {}
        """For each hook, the function to call when a client that arrived with it has gone."""
        self.doing: dict[str, Callable[[dict[str, Any]], object]] = {
            "disconnect": lambda said: self._disconnect(tuple(said["channels"]), said["client"])
        }
        """The actions for other processes, by name."""

    # -- for the server and the queues

    def begin(self) -> None:
        """See `Presence.begin`."""
        self._audiences.bind("another server ran in this process")
        presence = self._audiences.presence
        if presence is not None:
            presence.begin()

    def arrive(
        self, channels: tuple[str, ...], client_id: str, hook: str, seconds: float
    ) -> asyncio.Future[bool] | None:
        """See `Source.arrive`."""
        presence = self._audiences.presence
        return None if presence is None else presence.arrive(channels, client_id, hook, seconds)

    def gone(self, channels: tuple[str, ...], client_id: str) -> asyncio.Future[bool] | None:
        """See `Source.gone`."""
        presence = self._audiences.presence
        return None if presence is None else presence.gone(channels, client_id)

    async def others(self, channels: tuple[str, ...]) -> int:
        """How many subscribers listen in other processes; see `count`."""
        self._audiences.bind("count_subscribers() was called")
        presence = self._audiences.presence
        return 0 if presence is None else await presence.count(channels)

    def disconnect(self, channels: tuple[str, ...], client_id: str | None) -> bool:
        """End the polls of one client, or of all clients, in all processes. Returns whether there
        was one in this process.
        """
        self.tell("disconnect", channels=channels, client=client_id)
        return self._disconnect(channels, client_id)

    def _disconnect(self, channels: tuple[str, ...], client_id: str | None) -> bool:
        ended = [
            one.disconnect() if client_id is None else one.disconnect_client(client_id)
            for one in self._audiences.listening(channels)
        ]
        return True in ended

    def tell(self, do: str, **message: Any) -> None:
        """Make the other processes run the action `do`."""
        presence = self._audiences.presence
        if presence is not None:
            presence.send(json.dumps({"do": do, **message}).encode())
        self._audiences.bind("disconnect() was called")

    # -- for the engine; see `Clients`

    def take(self, channels: tuple[str, ...], client_id: str) -> str:
        """See `Clients.take`."""
        audience = self._audiences.audience(channels)
        return "" if audience is None else audience.take(client_id)

    def place(self, channels: tuple[str, ...], client_id: str) -> str:
        """See `Clients.place`."""
        audience = self._audiences.audience(channels)
        return "" if audience is None else audience.place(client_id)

    def count(self, channels: tuple[str, ...]) -> int:
        """See `Clients.count`."""
        return sum(one.subscribers for one in self._audiences.listening(channels))

    def calls(self, hook: str) -> bool:
        """See `Clients.calls`."""
        return not hook or hook in self.hooks

    def gone_elsewhere(self, channels: tuple[str, ...], client_id: str, hook: str) -> None:
        """See `Clients.gone_elsewhere`."""
        call = self.hooks.get(hook)
        if call is not None:
            call(channels, client_id)

    def present_again(self, channels: tuple[str, ...], client_id: str) -> None:
        """See `Clients.present_again`."""
        audience = self._audiences.audience(channels)
        if audience is not None:
            audience.present_again(client_id)

    def receive(self, message: bytes) -> None:
        """See `Clients.receive`."""
        try:
            said = json.loads(message)
            do = self.doing.get(said["do"])
            if do is not None:
                do(said)
        except Exception:
            _log.exception("a message from another process could not be handled")
