"""A client that publishes, and asks until it knows that its events were accepted."""

import asyncio
import json

from support.wire import read_reply

from tatsumaki_py.testing import Connection
from tatsumaki_py.testing.following import LOST

PATIENCE = 15.0  # seconds for one request; the server gives up before


class Publisher:
    """Publishes numbered events, one request at a time, each with a key of its own.

    Args:
        name: it is in each event.
        port: where it connects to, or a function that says so for each request.
        channel: where it publishes.
        rate: requests in a second.
    """

    def __init__(self, name, port, channel, rng, rate=4.0):
        self.name, self.channel, self.rng, self.rate = name, channel, rng, rate
        self.port = port if callable(port) else lambda: port
        self.count = 0
        self.accepted = {}
        """The ids of all accepted events, by (name, number)."""
        self.statuses = {}
        """How often each status was answered; 0 is a connection that was lost."""
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
        """Sends them until they are accepted."""
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
        """Now and then an event is large."""
        return {"text": "x" * self.rng.choice([100, 3000])} if self.rng.random() < 0.1 else {}
