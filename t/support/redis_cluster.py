"""A real Redis Cluster for tests: three masters without replicas, on this machine."""

import time

import pytest
import redis
from redis.crc import key_slot
from support.program import free_port
from support.redis_server import RedisServer

SLOTS = 16384
WAIT = 10.0  # seconds for all nodes to agree


class RedisCluster:
    """A cluster of three nodes.

    Attributes:
        nodes: the servers of the cluster.
        url: the URL of the cluster, which names one of the nodes.
    """

    def __init__(self, folder, **options):
        options = {"cluster_enabled": "yes", "cluster_node_timeout": 2000} | options
        self._folder, self._options = folder, options
        # Without `cluster_port`, the bus port of a node is 10000 higher, which may be too high.
        self.nodes = [RedisServer(folder, cluster_port=free_port(), **options) for _ in range(3)]
        for node in self.nodes:
            node.start()
        step = SLOTS // 3 + 1
        for number, node in enumerate(self.nodes):
            last = min(step * (number + 1), SLOTS) - 1
            self.ask(node, "CLUSTER", "ADDSLOTSRANGE", step * number, last)
            self.ask(node, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            self._meet(node)
        self.ids = {node: self.ask(node, "CLUSTER", "MYID") for node in self.nodes}
        self._wait()
        self.url = f"redis+cluster://127.0.0.1:{self.nodes[0].port}"

    def _meet(self, node):
        first = self.nodes[0]
        bus = self.ask(first, "CONFIG", "GET", "cluster-port")["cluster-port"]
        self.ask(node, "CLUSTER", "MEET", "127.0.0.1", first.port, bus)

    def add_replica(self, master):
        """Adds a node that takes over from `master` if that is away, and returns the new node."""
        options = {"cluster_port": free_port(), "cluster_replica_validity_factor": 0}
        replica = RedisServer(self._folder, **self._options | options).start()
        self.nodes.append(replica)
        self._meet(replica)
        self._wait()
        self.ask(replica, "CLUSTER", "REPLICATE", self.ids[master])
        deadline = time.monotonic() + WAIT
        while "master_link_status:up" not in replica.ask("INFO", "replication"):
            if time.monotonic() > deadline:
                pytest.fail("the replica has no link to its master")
            time.sleep(0.02)
        return replica

    def ask(self, node, *words):
        """The reply of a node to a command, as redis-py returns it."""
        with redis.Redis(port=node.port, decode_responses=True) as client:
            return client.execute_command(*words)

    def _wait(self):
        """Waits until each node knows all nodes and accepts commands."""
        deadline = time.monotonic() + WAIT
        for node in self.nodes:
            while True:
                info = self.ask(node, "CLUSTER", "INFO")
                known = f"cluster_known_nodes:{len(self.nodes)}" in info
                if "cluster_state:ok" in info and known:
                    break
                if time.monotonic() > deadline:
                    pytest.fail(f"the cluster is not complete: {info}")
                time.sleep(0.02)

    def node_of(self, key):
        """The node that has the slot of `key`."""
        slot = key_slot(key.encode())
        for first, last, (_, port, *_), *_ in self._slots():
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == port)
        return None

    def _slots(self):
        with redis.Redis(port=self.nodes[0].port) as client:
            return client.execute_command("CLUSTER", "SLOTS")

    def begin_move(self, key, target):
        """Begins to move the slot of `key` to the node `target`."""
        slot, source = key_slot(key.encode()), self.node_of(key)
        self.ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", self.ids[source])
        self.ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", self.ids[target])

    def move_keys(self, key, target):
        """Moves all keys in the slot of `key` to the node `target`."""
        slot, source = key_slot(key.encode()), self.node_of(key)
        while keys := self.ask(source, "CLUSTER", "GETKEYSINSLOT", slot, 100):
            where = ("127.0.0.1", target.port, "", 0, 5000)
            self.ask(source, "MIGRATE", *where, "KEYS", *keys)

    def end_move(self, key, target):
        """Ends the move of the slot of `key`: all nodes are told that `target` has it."""
        slot = key_slot(key.encode())
        for node in (target, *(one for one in self.nodes if one is not target)):
            self.ask(node, "CLUSTER", "SETSLOT", slot, "NODE", self.ids[target])

    def move(self, key, target):
        """Moves the slot of `key`, and all keys in it, to the node `target`."""
        self.begin_move(key, target)
        self.move_keys(key, target)
        self.end_move(key, target)

    def kill(self):
        """Kills all nodes."""
        for node in self.nodes:
            node.kill()


@pytest.fixture(scope="session")
def _shared_cluster(tmp_path_factory):
    cluster = RedisCluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.kill()


@pytest.fixture
def redis_cluster(_shared_cluster):
    """An empty cluster, whose nodes a test must not stop."""
    for node in _shared_cluster.nodes:
        node.ask("FLUSHALL")
    return _shared_cluster


@pytest.fixture
def make_cluster(tmp_path):
    """`cluster = make_cluster()` starts a cluster whose nodes the test may stop."""
    started = []

    def make(**options):
        started.append(RedisCluster(tmp_path, **options))
        return started[-1]

    yield make
    for one in started:
        one.kill()
