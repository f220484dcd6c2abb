"""The clients of the chaos: they come and go as they like."""

import asyncio

from support.follower import Follower
from support.subscriber import CLIENTS, STREAMS

POLLS = "long-poll", "interval-poll"
TURNS = 1000
"""Connections after which it takes its transports in the same order again."""


class Client(Follower):
    """A client that closes its connection now and then, in one way or another, and is back later on
    some transport.
    """

    def __init__(self, name, port, channel, rng):
        kind = rng.choice(["cursor", "cursor", "both", "name", "newcomer"])
        transports = rng.choice([tuple(CLIENTS), tuple(STREAMS), (rng.choice([*CLIENTS]),)])
        # It closes no connection: without a cursor it cannot say what of an answer has arrived.
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
        """What identifies the event that came last."""
        return _item(self.messages[-1])[0] if self.messages else None

    @property
    def gets_all(self):
        """Whether it is sure to get the last event."""
        return self.kind != "name" or self.faithful

    @property
    def name(self):
        return f"{self.kind} {self.channel} {'/'.join({*self.transports})} {self.params}"

    @property
    def items(self):
        """What came on each connection, as `Verdict.check` takes it."""
        return [[_item(message) for message in one.messages] for one in self.connections]


def _item(message):
    return ("gap", None) if message.gap else ((message.data["p"], message.data["n"]), message.id)
