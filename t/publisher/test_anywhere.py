"""A publisher works in event loops, threads, forks and logging handlers.

Each test runs a separate script, in which warnings are errors.
"""

import subprocess
import sys

import pytest
from support.program import ROOT

LIGHT = """
import sys
import tatsumaki_py.publisher
assert "redis" not in sys.modules
assert not {"tatsumaki_py.handler", "tatsumaki_py.server", "tornado.websocket"} & {*sys.modules}
import asyncio
asyncio.new_event_loop = None
tatsumaki_py.publisher.Publisher("http://127.0.0.1:1/{channel}")
"""
LOOPS = """
import asyncio, sys
from tatsumaki_py.publisher import Publisher

publisher = Publisher(sys.argv[1])

async def task(number):
    await publisher.apublish("a", number)

# As a Celery task may do.
asyncio.run(task(0))
asyncio.run(task(1))

async def main():
    async with Publisher(sys.argv[1]) as publisher:
        await publisher.apublish("a", 2)

asyncio.run(main())
"""
THREADS = """
import sys, threading
from tatsumaki_py.publisher import Publisher

publisher = Publisher(sys.argv[1])

def work(name):
    for number in range(20):
        publisher.publish("a", [name, number])

threads = [threading.Thread(target=work, args=[name]) for name in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
FORK = """
import os, sys
from tatsumaki_py.publisher import Publisher

publisher = Publisher(sys.argv[1])
publisher.publish("a", "before")

def fork():
    children = []
    for number in range(3):
        child = os.fork()
        if child == 0:
            if number == 2:
                # As a daemon does.
                os.closerange(3, 256)
                files = [open(os.devnull) for _ in range(20)]
            for event in range(5):
                publisher.publish("a", [number, event])
            if number == 2:
                for file in files:
                    file.close()
            sys.exit()
        children.append(child)
    return children

# As gunicorn and Celery do. The parent also publishes, even after the children have ended.
children = fork()
for event in range(5):
    publisher.publish("a", ["parent", event])
for child in children:
    assert os.waitpid(child, 0)[1] == 0
publisher.publish("a", "after")
"""
POOL = """
import multiprocessing, sys
from tatsumaki_py.publisher import Publisher

publisher = Publisher(sys.argv[1])

def work(number):
    return publisher.publish("a", number)

publisher.publish("a", "before")
with multiprocessing.get_context("fork").Pool(2) as pool:
    ids = pool.map(work, range(10))
assert len({id for (id,) in ids}) == 10
"""
LOG = """
import logging, os, sys, time
from tatsumaki_py.publisher import Publisher

publisher = Publisher(sys.argv[1])
refused = []

class Handler(logging.Handler):
    def emit(self, record):
        try:
            publisher.publish("a", record.getMessage())
        except RuntimeError:
            refused.append(record.getMessage())

logging.basicConfig(level=logging.DEBUG, handlers=[Handler()])
begin = time.monotonic()
logging.warning("first")
child = os.fork()
if child == 0:
    refused.clear()
    logging.warning("child")
    publisher.close()
    sys.exit(len(refused) != 1)
assert os.waitpid(child, 0)[1] == 0
publisher.close()
logging.debug("again")
publisher.close()
assert time.monotonic() - begin < 3
first, second = refused
assert first == second
assert first.startswith("Redis may evict any key")
"""
END = """
import atexit, logging, sys, time
from tatsumaki_py.publisher import Publisher

publisher = Publisher(sys.argv[1])

class Slow(logging.StreamHandler):
    def emit(self, record):
        time.sleep(0.1)
        super().emit(record)

logging.getLogger().addHandler(Slow(sys.stdout))
atexit.register(publisher.publish, "a", 2)
publisher.publish("a", 1)
"""
TOO_LATE = """
import os, sys
from tatsumaki_py.publisher import Publisher

publisher = Publisher(sys.argv[1])

class Late:
    def __init__(self):
        publisher.publish("a", 1)

    def __del__(self):
        try:
            publisher.publish("a", 2)
        except RuntimeError as error:
            os.write(1, str(error).encode())

late = Late()
"""


def run(script, *arguments):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


EVICTING = {"maxmemory": "100mb", "maxmemory_policy": "allkeys-lru"}


@pytest.fixture(params=["http", "redis"])
def place(request):
    """A URL for a publisher, and a function that returns the events that have arrived there."""
    if request.param == "http":
        server = request.getfixturevalue("server")
        channel = request.node.name.partition("[")[0]
        events = request.getfixturevalue("events")
        # Each test has its own channel.
        return f"{server.url}publish/{{channel}}-{channel}", lambda: events(f"a-{channel}")
    redis = request.getfixturevalue("redis_server")
    return redis.url, lambda: stored(redis)


def stored(redis):
    lines = redis.ask("XRANGE", "tats:{a}:s", "-", "+").split("\r\n")
    return [eval(line.split(" ", 3)[3]) for line in lines if line.count(" ") >= 3]


def test_light():
    """The import creates no event loop, and imports neither redis-py nor the server."""
    run(LIGHT)


def test_event_loops(place):
    url, events = place
    run(LOOPS, url)
    assert events() == [0, 1, 2]


def test_threads(place):
    """The events of each thread are published in the thread's order."""
    url, events = place
    run(THREADS, url)
    found = events()
    assert all([n for who, n in found if who == name] == [*range(20)] for name in range(8))


def test_fork(place):
    url, events = place
    run(FORK, url)
    found = events()
    assert (found[0], found[-1], len(found)) == ("before", "after", 22)
    for who in (0, 1, 2, "parent"):
        assert [event for event in found if event[0] == who] == [[who, n] for n in range(5)]


def test_fork_by_tls(make_tls, certificate):
    """Over TLS, parent and children publish all events, and no connection is left."""
    redis = make_tls(tls_auth_clients="no")
    run(FORK, f"rediss://127.0.0.1:{redis.tls_port}?ssl_ca_certs={certificate[0]}")
    found = stored(redis)
    assert (found[0], found[-1], len(found)) == ("before", "after", 22)
    assert "name=tatsumaki" not in redis.ask("CLIENT", "LIST")


def test_pool(place):
    url, events = place
    run(POOL, url)
    assert sorted(events()[1:]) == [*range(10)]


def test_a_log(make_tls, certificate):
    """A logging handler publishes lines, except those of the publisher, without a deadlock."""
    redis = make_tls(tls_auth_clients="no", **EVICTING)
    run(LOG, f"rediss://127.0.0.1:{redis.tls_port}?ssl_ca_certs={certificate[0]}")
    assert stored(redis) == ["first", "child", "again"]


def test_the_end(make_redis):
    """A function of `atexit` can publish, and the last line of the publisher is logged."""
    redis = make_redis(**EVICTING)
    out = run(END, redis.url)
    assert out.startswith("Redis may evict any key")
    assert out.count("\n") == 1
    assert stored(redis) == [1, 2]


def test_after_the_end(redis_server):
    """At the end of the interpreter, when its thread has ended, a publisher raises an error."""
    out = run(TOO_LATE, redis_server.url)
    assert out.startswith("the interpreter is ending, so a publisher for Redis cannot publish")
    assert stored(redis_server) == [1]
