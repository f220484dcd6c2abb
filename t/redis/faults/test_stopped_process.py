"""redis-py#1261: a process is stopped or too slow, and more is published than Redis buffers for it
(`client-output-buffer-limit pubsub`).
"""

import asyncio
import random
import signal

import pytest
from engine.feed import Feed
from support.chaos.publisher import Publisher
from support.follower import Follower

from tatsumaki_py.message_queue.engine.choose import choose

SIZE, COUNT = 500_000, 80


@pytest.mark.gen_test
async def test_a_subscriber_is_stopped(serve_program, make_redis, io_loop):
    """Clients of the stopped process get a gap, then the kept events and all later ones. In a
    channel that lost no event, they get no gap.
    """
    server = make_redis()
    engine = choose(server.url, {}).make()
    worker = serve_program("t/redis/program.py", environment={"TATSUMAKI_ENGINE": server.url})
    busy = Follower(worker.port, ("ndjson",), path="/events/busy").follow()
    calm = Follower(worker.port, ("sse",), path="/events/calm").follow()
    for name in ("busy", "calm"):
        await engine.publish(Feed(name, {}), [b'{"n":0}'])
    for client in (busy, calm):
        await client.until(lambda one: one.seen == [0])
    worker.signal(signal.SIGSTOP)
    text = b"x" * SIZE
    for first in range(1, COUNT + 1, 5):
        bodies = [b'{"n":%d,"text":"%b"}' % (n, text) for n in range(first, first + 5)]
        await engine.publish(Feed("busy", {}), bodies)
    await engine.publish(Feed("calm", {}), [b'{"n":1}'])
    assert "qbuf" in server.ask("CLIENT", "LIST")
    if "valkey_version" not in server.ask("INFO", "server"):
        # Valkey keeps one copy of a message for all clients, and does not count it for this one.
        assert server.ask("CLIENT", "LIST", "TYPE", "pubsub").count("id=") == 0
    worker.signal(signal.SIGCONT)
    await calm.until(lambda one: one.seen == [0, 1])
    await busy.until(lambda one: one.seen[-1:] == [COUNT])
    # Some events were in the kernel's buffers; 16 MiB of the others are kept.
    gap = busy.seen.index("gap")
    before, after = busy.seen[:gap], busy.seen[gap + 1 :]
    assert before == [*range(gap)]
    assert after == [*range(after[0], COUNT + 1)]
    assert len(after) > 30
    for client in (busy, calm):
        await client.aclose()
    await engine.close()


@pytest.mark.gen_test
async def test_a_worker_is_killed_in_a_burst(serve_program, make_redis):
    """The worker's clients move to another one and miss no event. An unanswered publish is repeated
    there with its key.
    """
    server = make_redis()
    environment = {"TATSUMAKI_ENGINE": server.url}
    workers = [serve_program("t/redis/program.py", environment=environment) for _ in range(2)]
    ports = [worker.port for worker in workers]
    clients = [
        Follower(lambda: ports[0], (name,)).follow() for name in ("sse", "websocket", "long-poll")
    ]
    publisher = Publisher("p", lambda: ports[0], "room", random.Random(1), rate=500)
    await asyncio.sleep(0.1)
    publishing = asyncio.ensure_future(publisher.run())
    await asyncio.sleep(0.5)
    workers[0].kill()
    ports.pop(0)
    await asyncio.sleep(0.3)
    publisher.over = True
    await publishing
    expected = [n for _, n in publisher.accepted]
    assert expected == [*range(publisher.count)]
    for client in clients:
        await client.until(lambda one: one.seen[-1:] == expected[-1:])
        assert client.seen == expected, client.name
        await client.aclose()
