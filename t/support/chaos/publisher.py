"""A client that publishes, and repeats each request until its events are accepted."""

import asyncio
import json

from support.wire import read_reply

from tatsumaki_py.testing import Connection
from tatsumaki_py.testing.following import LOST

PATIENCE = 15.0  # seconds for one request; the server gives up first


class Publisher:
    """Publishes numbered events, one request at a time, each with its own idempotency key.

    Args:
        name: a name that each event contains.
        port: the port of the server, or a function that returns the port for each request.
        channel: the channel to which the events are published.
        rate: requests per second.
    """

    def __init__(self, name, port, channel, rng, rate=4.0):
        self.name, self.channel, self.rng, self.rate = name, channel, rng, rate
        self.port = port if callable(port) else lambda: port
        self.count = 0
        self.accepted = {}
        """The ids of all accepted events, by (name, number)."""
        self.statuses = {}
        """The number of answers with each status; 0 stands for a lost connection."""
        self.over = False

    async def run(self):
        """Publishes until `over`."""
        while not self.over:
            size = self.rng.choice([1, 1, 1, 2, 5])
            events = [{"p": self.name, "n": self.count + n, **self._text()} for n in range(size)]
            await self.publish(events)
            self.count += size
            await asyncio.sleep(self.rng.expovariate(self.rate))

    async def publish(self, events):
        """Sends the events until they are accepted."""
        body = json.dumps(events).encode()
        head = (
            f"POST /publish/{self.channel} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nIdempotency-Key: {self.name}-{self.count}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        while True:
            status, answer = await self._ask(head.encode() + body)
            self.statuses[status] = self.statuses.get(status, 0) + 1
            if status == 200:
                break
            assert status in (0, 502, 503, 504), f"{self.name}: {status} {answer}"
            await asyncio.sleep(0.05)
        ids = json.loads(answer)["ids"]
        assert len(ids) == len(events)
        for event, id in zip(events, ids, strict=True):
            self.accepted[event["p"], event["n"]] = id

    async def _ask(self, request):
        client = None
        try:
            async with asyncio.timeout(PATIENCE):
                client = await Connection.connect(self.port())
                await client.send(request)
                reply = await read_reply(client)
                return reply.status, reply.body
        except LOST:
            return 0, b""
        finally:
            if client is not None:
                client.close()

    def _text(self):
        """A text for an event, which is large now and then."""
        return {"text": "x" * self.rng.choice([100, 3000])} if self.rng.random() < 0.1 else {}
