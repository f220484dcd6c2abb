"""Presence: in which process each client is, if several processes share an engine.

Rules:
1. A named client belongs to one process: the one in which it last arrived. The client is present
   from `Presence.arrive` until `Presence.gone`, or until its process has ended and the client has
   not come back in time. A client of several channels together differs from a client of the same
   name on one of them.
2. An arrival ends the client's poll in the process that it belonged to (`Clients.take`).
   `Engine.recall`, called next, gives the place that this poll reached. If the old process does not
   answer within a second, `recall` gives the place that was last remembered, and the client may
   get some events twice.
3. For each new client, exactly one `arrive` in all processes gives True. For each client that has
   gone, exactly one `gone` gives True, or `Clients.gone_elsewhere` is called in one process.
4. No method raises. A message that cannot be sent to the other processes now is sent later.
5. An idle client costs nothing: the heartbeat of a process covers all of its clients.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Protocol

__all__ = ["Clients", "Presence"]


class Clients(Protocol):
    """The clients of this process, as an engine sees them."""

    def take(self, channels: tuple[str, ...], client_id: str) -> str:
        """The client has arrived in another process: end its poll here, and remove the client
        without calling ``on_unsubscribe``. Returns the place that the poll reached; "" if it is
        unknown here.
        """

    def place(self, channels: tuple[str, ...], client_id: str) -> str:
        """The place that the client is known to have reached; "" if it is unknown here."""

    def count(self, channels: tuple[str, ...]) -> int:
        """How many subscribers listen here: for one channel, all that listen to it, alone or
        together with other channels; for several channels, those that listen to exactly these.
        """

    def calls(self, hook: str) -> bool:
        """Whether `gone_elsewhere` can call this hook here."""

    def gone_elsewhere(self, channels: tuple[str, ...], client_id: str, hook: str) -> None:
        """The client's process has ended, and the client has not come back: call the hook that
        `Presence.arrive` was given for it.
        """

    def present_again(self, channels: tuple[str, ...], client_id: str) -> None:
        """While this process counted as dead, `gone_elsewhere` was called in another process for a
        client that is still here.
        """

    def receive(self, message: bytes) -> None:
        """Another process has called `Presence.send`."""


class Presence(Protocol):
    """The clients of all processes, as an engine for several processes knows them."""

    def connect(self, clients: Clients) -> None:
        """The first call: `clients` are the clients of this process."""

    def begin(self) -> None:
        """A server of this process starts in the running loop: from now on, this process receives
        the messages of the others (`Clients.receive`), even if it has no client yet.
        """

    def arrive(
        self, channels: tuple[str, ...], client_id: str, hook: str, seconds: float
    ) -> asyncio.Future[bool]:
        """A named client begins a poll in this process, where it was not listening.

        Args:
            channels: the channels that it listens to together, sorted by name.
            client_id: its name.
            hook: the hook to call when it has gone (`Clients.gone_elsewhere`); "" for none.
            seconds: how long the client may take to come back if this process ends.

        Returns:
            A future that tells whether the client is new, that is, was not present in any process.
            For one client, the futures of `arrive` and `gone` are done in the order of the calls.
        """

    def gone(self, channels: tuple[str, ...], client_id: str) -> asyncio.Future[bool] | None:
        """A named client is no longer a subscriber of this process. Returns a future that tells
        whether the client is not present in any other process either; None if no event loop runs.
        """

    def count(self, channels: tuple[str, ...]) -> Awaitable[int]:
        """The sum of `Clients.count` in all other processes. A process that does not answer within
        a second is left out. Raises 503 if the others cannot be asked.
        """

    def send(self, message: bytes) -> None:
        """Call `Clients.receive` once in each of the other processes. The messages of one process
        keep their order.
        """
