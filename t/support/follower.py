"""A client that comes back whenever its connection ends, on another transport and to another server
if the test says so, until it has what it waits for.
"""

import asyncio
import itertools
import random

from support.subscriber import CLIENTS, Ended, Refused

LOST = (EOFError, OSError, Ended)
"""What ends a connection without a fault of the client."""


class Follower:
    """One client.

    Args:
        port: where it connects to; or a function that gives a port, for each connection.
        transports: names of transports; each connection is by one of them.
        rng: decides which.
        cursor: where it begins; None is a client that comes for the first time.
        remembers: whether it sends its cursor when it comes back.
        query: parameters of the URL.
    """

    pause = 0.01
    """Seconds before it comes back."""

    def patience(self):
        """Seconds after which it closes a connection that is still open, by FIN or RST; None waits
        for its end.
        """

    def __init__(
        self,
        port,
        transports=tuple(CLIENTS),
        rng=None,
        path="/events/room",
        cursor=None,
        remembers=True,
        **query,
    ):
        self.port = port if callable(port) else lambda: port
        self.transports = transports
        self.rng = rng or random.Random(1)
        self.path, self.cursor, self.remembers, self.query = path, cursor, remembers, query
        self.connections = []
        """What came (`Message`), a list for each connection."""
        self.refusals = []
        """The heads of answers that were no events (`Reply`)."""
        self.client = None
        """Its connection (`Subscriber`)."""
        self._task = None

    def start(self):
        """Connects, and comes back, until `stop`."""
        self._task = asyncio.ensure_future(self._run())
        return self

    async def stop(self):
        """Goes, for good. Raises what went wrong."""
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()

    @property
    def messages(self):
        """All that came."""
        return list(itertools.chain.from_iterable(self.connections))

    @property
    def seen(self):
        """The `n` of each event that came, and "gap" for each gap."""
        return ["gap" if message.gap else message.data["n"] for message in self.messages]

    async def until(self, condition, seconds=10.0):
        """Waits until `condition(self)` is true."""
        try:
            async with asyncio.timeout(seconds):
                while not condition(self):
                    if self._task.done():
                        self._task.result()
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"{self.name}: {self.seen[-50:]} {self.refusals[-3:]}") from None

    @property
    def name(self):
        """Which client this is, for the message of a test that fails."""
        return f"{'/'.join(self.transports)} {self.query}"

    async def _run(self):
        while True:
            kind = CLIENTS[self.rng.choice(self.transports)]
            cursor = self.cursor if self.remembers else None
            self.client = client = kind(self.port(), self.path, cursor=cursor, **self.query)
            self.connections.append([])
            try:
                async with asyncio.timeout(self.patience()):
                    await self._read(client)
            except Refused as refused:
                self.refusals.append(refused.head)
            except TimeoutError:
                if self.rng.random() < 0.5 and client.client is not None:
                    client.client.reset()
            except LOST:
                pass
            finally:
                # The head of a stream says where it begins; that of a poll, where its body ends.
                if client.streams and client.cursor:
                    self.cursor = client.cursor
                client.leave()
            await asyncio.sleep(self.pause)

    async def _read(self, client):
        await client.start()
        if client.streams and client.head.status not in (101, 200):
            raise Refused(client.head)
        while True:
            self.take(await client.read())
            # A long poll has its cursor at the end of its answer: the rest is here already.
            self.cursor = client.cursor

    def take(self, message):
        """A message has come."""
        self.connections[-1].append(message)
