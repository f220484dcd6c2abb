"""The servers of a run, and the faults that they suffer."""

import asyncio
import contextlib
import signal

from redis.exceptions import ResponseError
from support.program import Program, free_port
from support.redis_sentinel import Watched
from support.redis_server import RedisServer

PROGRAM = "t/redis/program.py"
OPTIONS = (
    "command_timeout=1&connect_timeout=1&publish_timeout=3&probe_interval=0.5&check_interval=0.5"
    "&backoff=0.02&max_backoff=0.2"
)
"""Options of the engine, with shorter times than in production."""
DURABLE = {"appendonly": "yes", "appendfsync": "no"}
"""With these options, a killed Redis keeps all events that it has confirmed."""


class World:
    """Redis, workers, and nginx, which spreads the requests over the workers at random.

    Args:
        directory: the folder for the files of all servers.
        rng: determines which server a fault hits, and for how long.
        spread: starts nginx for the ports of the workers, and returns the port of nginx.
        sentinel: whether there are two Redis servers, and a sentinel that changes the master.
    """

    def __init__(self, directory, rng, spread, *, workers=3, sentinel=False):
        self.rng = rng
        self.servers, self.workers, self.sentinel = [], [], None
        self._directory, self._spread = directory, spread
        self._count, self._watched = workers, sentinel
        self.port = None
        """The port of nginx."""
        self.log = []
        """The names of the faults so far."""

    def start(self):
        """Starts all servers."""
        if self._watched:
            watched = Watched(self._directory, **DURABLE)
            self.servers, self.sentinel, url = watched.servers, watched.sentinel, watched.url
        else:
            self.servers = [RedisServer(self._directory, **DURABLE).start()]
            url = self.servers[0].url
        environment = {"TATSUMAKI_ENGINE": f"{url}?{OPTIONS}"}
        for _ in range(self._count):
            worker = Program(PROGRAM, free_port(), self._directory, environment)
            self.workers.append(worker)
            worker.launch()
        for worker in self.workers:
            worker.listening()
        self.port = self._spread(*(worker.port for worker in self.workers))

    def stop(self):
        """Ends all servers; fails if a worker logged a traceback or ignores SIGTERM."""
        try:
            for worker in self.workers:
                if worker.runs:
                    worker.signal()
            for worker in self.workers:
                if worker.runs:
                    worker.wait()
            for worker in self.workers:
                assert "Traceback" not in worker.stderr, worker.stderr[-5000:]
        finally:
            for one in [*self.workers, *self.servers, *filter(None, [self.sentinel])]:
                one.kill()

    # -- faults: each is over when the coroutine ends

    @property
    def faults(self):
        """The faults that can happen to these servers."""
        faults = [
            self.redis_dies,
            self.redis_hangs,
            self.connections_are_killed,
            self.scripts_are_forgotten,
            self.worker_dies,
            self.worker_drains,
        ]
        if self.sentinel is not None:
            faults += [self.failover] * 3
        return faults

    async def befall(self, fault):
        """Causes one fault, and waits until it is over."""
        self.log.append(fault.__name__)
        await fault()

    async def redis_dies(self):
        """A Redis is killed, and starts again with its file."""
        server = self.rng.choice(self.servers)
        server.kill()
        # Now and then, Redis is away for longer than a publish may take.
        await self._for_a_time(*((0.05, 0.8) if self.rng.random() < 0.8 else (3, 5)))
        await asyncio.to_thread(server.start)

    async def redis_hangs(self):
        """A Redis does not answer for a time, which may be longer than the timeouts."""
        server = self.rng.choice(self.servers)
        server.pause()
        await self._for_a_time(0.2, 2.0)
        server.resume()

    async def connections_are_killed(self):
        """Each Redis closes all connections of one kind."""
        for server in self.servers:
            kind = self.rng.choice(["normal", "pubsub"])
            await asyncio.to_thread(server.ask, "CLIENT", "KILL", "TYPE", kind)

    async def scripts_are_forgotten(self):
        """Each Redis loses its scripts."""
        for server in self.servers:
            await asyncio.to_thread(server.ask, "SCRIPT", "FLUSH")

    async def worker_dies(self):
        """A worker is killed, and starts again."""
        worker = self.rng.choice(self.workers)
        worker.kill()
        await self._for_a_time(0, 0.3)
        await asyncio.to_thread(worker.start)

    async def worker_drains(self):
        """A worker is stopped with SIGTERM, and starts again."""
        worker = self.rng.choice(self.workers)
        worker.signal(signal.SIGTERM)
        await asyncio.to_thread(worker.wait)
        await asyncio.to_thread(worker.start)

    async def failover(self):
        """The replica becomes the master; the old one stays alive, or is killed and restarted."""
        if self.rng.random() < 0.5:
            # The previous failover may still be going on.
            with contextlib.suppress(ResponseError):
                await asyncio.to_thread(self.sentinel.ask, "SENTINEL", "FAILOVER", "chat")
        else:
            master = await asyncio.to_thread(self._master)
            master.kill()
            await self._for_a_time(0.8, 2.0)
            await asyncio.to_thread(master.start)
        await self._for_a_time(0.5, 1.5)

    def _master(self):
        masters = [server for server in self.servers if "role:master" in server.ask("INFO")]
        return self.rng.choice(masters or self.servers)

    async def _for_a_time(self, low, high):
        await asyncio.sleep(self.rng.uniform(low, high))
