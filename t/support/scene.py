"""A server in the test's process that keeps its events in Redis, clients on all transports, and
a simulated second process that publishes.
"""

import asyncio

from engine.feed import Feed, bodies
from support.follower import Follower
from support.subscriber import CLIENTS
from support.wire import read_reply

from tatsumaki_py import MessageQueue
from tatsumaki_py.message_queue.engine.choose import choose
from tatsumaki_py.testing import Connection, Proxy

QUICK = {
    "command_timeout": 0.5,
    "connect_timeout": 0.5,
    "publish_timeout": 3.0,
    "probe_interval": 0.2,
    "check_interval": 0.2,
    "backoff": 0.01,
    "max_backoff": 0.1,
}
"""Options of the engine, with shorter times than in production."""


class Scene:
    """The surroundings of a fault: Redis, the network, queues and clients.

    Args:
        http_port: the port of the application.
        server: the `RedisServer`; or an object with the `url` of a service, which is then not
            behind `network`.

    Attributes:
        network: the `Proxy` between the application and Redis, or None.
        queue: the queue of the channel "room".
        start_place: the cursor of "room" before the first event.
        followers: clients of that channel that reconnect with their cursor.
    """

    def __init__(self, http_port, server):
        self.http_port, self.server = http_port, server
        self.network = Proxy(server.port) if hasattr(server, "port") else None
        self.followers = []
        self._others = []

    async def start(self, *transports, **options):
        """Starts all, with a client of "room" on each of `transports`, by default on each one."""
        url = self.server.url
        if self.network is not None:
            await self.network.start()
            url = f"redis://127.0.0.1:{self.network.port}"
        MessageQueue.configure(url, **QUICK | options)
        self._engine = MessageQueue._registry.engine
        # Kept here: a queue that no code references and no client uses is forgotten.
        self.queue = MessageQueue.instance("room")
        await self.queue.ready()
        start = self.start_place = self.queue.cursor()
        for transport in transports or CLIENTS:
            follower = Follower(self.http_port, (transport,), cursor=start)
            self.followers.append(follower.follow())
        waiting = [one for one in self.followers if one.transports != ("interval-poll",)]
        await self.until(lambda: len(self.queue.clients) >= len(waiting))
        return self

    @property
    def session(self):
        """The engine's session."""
        return self._engine.session()

    def elsewhere(self, **options):
        """The engine of a simulated second process, which reaches Redis directly."""
        self._others.append(choose(self.server.url, QUICK | options).make())
        return self._others[-1]

    async def publish_elsewhere(self, *numbers, key=None, channel="room"):
        """Publishes events with one call from a second process, and returns their ids."""
        if not self._others:
            self.elsewhere()
        return await self._others[0].publish(
            Feed(channel, {}), bodies(*numbers), idempotency_key=key
        )

    async def publish(self, *numbers, key=None):
        """Publishes events from this process, and returns their ids."""
        return await self.queue.publish(*({"n": n} for n in numbers), idempotency_key=key)

    async def post(self, *numbers, key=None):
        """Publishes events with a POST to the application, and returns the `Reply`."""
        body = b"[%b]" % b",".join(bodies(*numbers))
        fields = {"Host": "x", "Content-Type": "application/json", "Content-Length": len(body)}
        if key is not None:
            fields["Idempotency-Key"] = key
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        client = await Connection.connect(self.http_port)
        try:
            await client.send(f"POST /publish/room HTTP/1.1\r\n{lines}\r\n".encode() + body)
            return await read_reply(client)
        finally:
            client.close()

    async def all_get(self, *expected, seconds=10.0):
        """Fails unless each client gets exactly these numbers and gaps within `seconds`."""
        await self.until_all(lambda follower: len(follower.seen) >= len(expected), seconds)
        await asyncio.sleep(0.02)
        for follower in self.followers:
            assert follower.seen == [*expected], follower.name

    async def until_all(self, condition, seconds=10.0):
        """Waits until `condition(follower)` is true for each client."""
        for follower in self.followers:
            await follower.until(condition, seconds)

    async def until(self, condition, seconds=5.0):
        """Waits until `condition()` is true."""
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.005)

    async def stop(self):
        """Closes the clients, then the engines and the network."""
        try:
            for follower in self.followers:
                await follower.aclose()
        finally:
            for other in self._others:
                await other.close()
            self.queue = None
            MessageQueue.reset()
            await self._engine.close()
            if self.network is not None:
                await self.network.stop()
