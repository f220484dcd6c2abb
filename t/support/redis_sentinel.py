"""A real Sentinel for tests: a master, a replica and one sentinel, all quicker than usual."""

import contextlib
import time

import pytest
import redis
from support.redis_server import RedisServer

# A replica whose last answer is older than five ping periods is no candidate: a busy machine needs
# long periods.
QUICK = {"INFO-PERIOD": 100, "PING-PERIOD": 200, "PUBLISH-PERIOD": 50, "ASK-PERIOD": 100}
WAIT = 15.0  # seconds within which a change must be complete


class SentinelServer(RedisServer):
    """A sentinel that watches the master on `port` under the name "chat"."""

    program = package = "redis-sentinel"

    def __init__(self, folder, port, **options):
        monitored = {
            "sentinel monitor chat": f"127.0.0.1 {port} 1",
            "sentinel down-after-milliseconds chat": 300,
            "sentinel failover-timeout chat": 1000,
        }
        super().__init__(folder, **monitored, **options)

    def settings(self):
        """The settings of a Redis that stores nothing: a sentinel has no data."""
        return {"bind": "127.0.0.1", "port": self.port, "dir": self.folder}

    def answers(self):
        """See `RedisServer.answers`."""
        with contextlib.suppress(redis.ConnectionError):
            return self.ask("PING")
        return False

    def ask(self, *words):
        """The reply to a command, as redis-py returns it: a sentinel does not know QUIT."""
        with redis.Redis(port=self.port, decode_responses=True) as client:
            return client.execute_command(*words)

    @property
    def master_port(self):
        """The port of the master, as the sentinel says."""
        return int(self.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "chat")[1])


class Watched:
    """A master and a replica, and the sentinel that watches them.

    Attributes:
        servers: the master and the replica, in the order in which they began.
        sentinel: the sentinel.
        url: the URL of the service.
    """

    def __init__(self, folder, **options):
        quick = {"repl_diskless_sync_delay": 0, "repl_ping_replica_period": 1} | options
        master = RedisServer(folder, **quick).start()
        replica = RedisServer(folder, replicaof=f"127.0.0.1 {master.port}", **quick).start()
        self.servers = [master, replica]
        self._until(lambda: "link_status:up" in replica.ask("INFO", "replication"))
        self.sentinel = SentinelServer(folder, master.port).start()
        self.sentinel.ask("SENTINEL", "DEBUG", *(x for pair in QUICK.items() for x in pair))
        self.url = f"redis+sentinel://127.0.0.1:{self.sentinel.port}/chat"
        self._until(lambda: self.sentinel.ask("INFO")["master0"]["slaves"] == 1)

    @property
    def master(self):
        """The server that is the master, as the sentinel says."""
        port = self.sentinel.master_port
        return next(server for server in self.servers if server.port == port)

    def fail_over(self):
        """Makes the replica the master, and the old master, which stays alive, its replica."""
        old = self.master
        self.promote()
        self._until(lambda: "link_status:up" in old.ask("INFO", "replication"))

    def promote(self):
        """Makes the replica the master. The old master stays alive, and is told later."""
        old, asked = self.master, 0.0

        def happened():
            nonlocal asked
            if self.master is old and time.monotonic() > asked + 1:
                # The sentinel gives up if the replica answers late.
                asked = time.monotonic()
                self.sentinel.ask("SENTINEL", "FAILOVER", "chat")
            return self.master is not old

        self._until(happened)

    def wait_for_another(self, old):
        """Waits until `old` is no longer the master."""
        self._until(lambda: self.master is not old)

    def _until(self, condition):
        deadline = time.monotonic() + WAIT
        while True:
            with contextlib.suppress(redis.ResponseError):
                if condition():
                    return
            if time.monotonic() > deadline:
                pytest.fail("the sentinel has not finished its work in time")
            time.sleep(0.01)

    def kill(self):
        """Kills the sentinel and both servers."""
        for server in (self.sentinel, *self.servers):
            server.kill()


@pytest.fixture
def make_watched(tmp_path):
    """`watched = make_watched()` starts a master, a replica and their sentinel."""
    started = []

    def make(**options):
        started.append(Watched(tmp_path, **options))
        return started[-1]

    yield make
    for one in started:
        one.kill()
