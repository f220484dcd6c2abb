"""The clients of the chaos: they come and go as they like."""

from support.follower import Follower
from support.subscriber import CLIENTS, STREAMS

POLLS = "long-poll", "interval-poll"


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
        query = {"client_id": name} if kind in ("name", "both") else {}
        super().__init__(
            port,
            transports,
            rng,
            f"/events/{channel}",
            remembers=kind in ("cursor", "both"),
            **query,
        )
        self.channel = channel
        self.restless = True
        self.last = None
        """What identifies the event that came last."""

    @property
    def gets_all(self):
        """Whether it is sure to get the last event."""
        return self.kind != "name" or self.faithful

    @property
    def name(self):
        return f"{self.kind} {self.channel} {'/'.join(self.transports)} {self.query}"

    def patience(self):
        if not self.restless or self.faithful:
            return None
        return self.rng.expovariate(1 / 3.0)

    def take(self, message):
        super().take(message)
        self.last = _item(message)[0]

    @property
    def items(self):
        """What came on each connection, as `Verdict.check` takes it."""
        return [[_item(message) for message in messages] for messages in self.connections]


def _item(message):
    return ("gap", None) if message.gap else ((message.data["p"], message.data["n"]), message.id)
