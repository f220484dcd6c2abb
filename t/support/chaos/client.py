"""The clients of a run, which disconnect and reconnect at random."""

import asyncio

from support.follower import Follower
from support.subscriber import CLIENTS, STREAMS

POLLS = "long-poll", "interval-poll"
TURNS = 1000
"""Number of connections after which a client repeats its sequence of transports."""


class Client(Follower):
    """A client that closes its connection now and then, and reconnects with a random transport.

    It closes the connection cleanly or resets it.
    """

    def __init__(self, name, port, channel, rng):
        kind = rng.choice(["cursor", "cursor", "both", "name", "newcomer"])
        transports = rng.choice([tuple(CLIENTS), tuple(STREAMS), (rng.choice([*CLIENTS]),)])
        # A faithful client never closes a connection: without a cursor, events could be lost.
        self.faithful = kind == "name" and rng.random() < 0.5
        if self.faithful:
            transports = POLLS
        self.kind = kind
        params = {"client_id": name} if kind in ("name", "both") else {}
        super().__init__(
            port,
            rng.choices(transports, k=TURNS),
            f"/events/{channel}",
            remembers=kind in ("cursor", "both"),
            **params,
        )
        self.channel = channel
        self.restless = True
        self._rng = rng
        self._moving = None

    def follow(self, pause=0.01):
        super().follow(pause)
        if self._moving is None and not self.faithful:
            self._moving = asyncio.ensure_future(self._move())
        return self

    async def _move(self):
        while self.restless:
            await asyncio.sleep(self._rng.expovariate(1 / 3.0))
            if self.restless:
                await self.reconnect(reset=self._rng.random() < 0.5)

    async def aclose(self):
        if self._moving is not None:
            self._moving.cancel()
            await asyncio.wait([self._moving])
        await super().aclose()

    @property
    def last(self):
        """The identity of the last event that arrived: its publisher and number."""
        return _item(self.messages[-1])[0] if self.messages else None

    @property
    def gets_all(self):
        """Whether the client must get the last event."""
        return self.kind != "name" or self.faithful

    @property
    def name(self):
        return f"{self.kind} {self.channel} {'/'.join({*self.transports})} {self.params}"

    @property
    def items(self):
        """The items that arrived on each connection, as `Verdict.check` takes them."""
        return [[_item(message) for message in one.messages] for one in self.connections]


def _item(message):
    return ("gap", None) if message.gap else ((message.data["p"], message.data["n"]), message.id)
