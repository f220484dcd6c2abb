"""One run with faults, from the start of the servers to the verdict on each client."""

import asyncio
import random
import time

from support.chaos.client import Client
from support.chaos.publisher import Publisher
from support.chaos.verdict import Verdict
from support.chaos.world import World
from support.subscriber import subscriber

CHANNELS = [f"room{number}" for number in range(8)]
END = 30.0  # seconds after the last fault within which all clients must have all events


class Run:
    """A run with faults for some seconds.

    Args:
        seed: determines all clients, publishers and faults, but not how long each step takes; two
            runs with one seed are similar, but not equal.
        seconds: the duration of the faults.
    """

    def __init__(
        self, directory, spread, seed, seconds, *, clients=200, publishers=20, sentinel=False
    ):
        self.seconds, self.sentinel = seconds, sentinel
        self.rng = random.Random(seed)
        self.world = World(directory, self._dice(), spread, sentinel=sentinel)
        self._clients, self._publishers = clients, publishers
        self.clients, self.publishers, self.starts = [], [], {}

    async def run(self):
        """Raises an exception if a client or a publisher did not get what it should have."""
        await asyncio.to_thread(self.world.start)
        try:
            await self._chaos()
            kept = await self._end()
            self._judge(kept)
        finally:
            for client in self.clients:
                await client.aclose()
            await asyncio.to_thread(self.world.stop)

    def _dice(self):
        return random.Random(self.rng.random())

    async def _chaos(self):
        port = self.world.port
        for channel in CHANNELS:
            reader = subscriber("ndjson", port, f"/events/{channel}")
            await reader.open()
            while not reader.cursor:
                # The stream sends the cursor.
                await reader.step()
            self.starts[channel] = reader.cursor
            reader.close()
        for number in range(self._clients):
            channel = CHANNELS[number % len(CHANNELS)]
            self.clients.append(Client(f"c{number}", port, channel, self._dice()).follow())
        for number in range(self._publishers):
            channel = CHANNELS[number % len(CHANNELS)]
            self.publishers.append(Publisher(f"p{number}", port, channel, self._dice()))
        async with asyncio.TaskGroup() as tasks:
            for publisher in self.publishers:
                tasks.create_task(publisher.run())
            await self._faults()
            for publisher in self.publishers:
                publisher.over = True

    async def _faults(self):
        """Causes faults one after another; each kind comes once before any is repeated."""
        rng = self._dice()
        end = time.monotonic() + self.seconds
        waiting = []
        while time.monotonic() < end:
            if not waiting:
                waiting = self.world.faults
                rng.shuffle(waiting)
            await asyncio.sleep(rng.uniform(0.1, 0.8))
            await self.world.befall(waiting.pop())

    async def _end(self):
        """Waits until the clients have all events; returns the kept events of each channel."""
        for client in self.clients:
            client.restless = False
        kept = {}
        for channel in CHANNELS:
            last = Publisher("end", self.world.port, channel, self._dice())
            await last.publish([{"p": "end", "n": 0}])
            self.publishers.append(last)
            kept[channel] = await self._kept(channel)
        for client in self.clients:
            if client.gets_all:
                await client.until(lambda client: client.last == ("end", 0), END)
        return kept

    async def _kept(self, channel):
        reader = subscriber(
            "ndjson", self.world.port, f"/events/{channel}", cursor=self.starts[channel]
        )
        await reader.open()
        kept = []
        async with asyncio.timeout(END):
            while kept[-1:] != [("end", 0)]:
                message = await reader.next()
                assert not message.gap or self.sentinel, message
                if message.gap:
                    kept = []
                else:
                    kept.append((message.data["p"], message.data["n"]))
        reader.close()
        return kept

    def _judge(self, kept):
        for channel in CHANNELS:
            accepted = {}
            for publisher in self.publishers:
                if publisher.channel == channel:
                    accepted |= publisher.accepted
            verdict = Verdict(accepted, kept[channel], self.sentinel)
            for client in self.clients:
                if client.channel == channel:
                    verdict.check(
                        client.name,
                        client.items,
                        cursor=client.remembers,
                        named=client.faithful,
                        to_end=client.gets_all,
                    )

    @property
    def summary(self):
        """A summary of the run, in one line."""
        events = sum(len(publisher.accepted) for publisher in self.publishers)
        statuses = {}
        for publisher in self.publishers:
            for status, count in publisher.statuses.items():
                statuses[status] = statuses.get(status, 0) + count
        connections = sum(len(client.connections) for client in self.clients)
        refusals = sum(len(client.refusals) for client in self.clients)
        received = sum(len(client.messages) for client in self.clients)
        return (
            f"{events} events, answers {statuses}, {connections} connections, {refusals} refused, "
            f"{received} received; {' '.join(self.world.log)}"
        )
