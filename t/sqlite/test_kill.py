"""A process is killed many times while it publishes: acknowledged events are stored, in order."""

import asyncio
import contextlib
import json
import os
import random
import signal
import sqlite3
import time

import pytest
from message_queue.fakes import numbers

from tatsumaki_py import MessageQueue
from tatsumaki_py.message_queue.ids import position

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on Windows")

LIVES = 50
IN_FLIGHT = 16
KEEP_ALL = {"buffer_length": 10**7, "buffer_size": 10**10}


def publish_for_ever(url, life, out):
    """Publish {"life": life, "n": 0}, {"life": life, "n": 1} and so on. Write a line "life n id" to
    the descriptor `out` for each acknowledged event.
    """

    async def main():
        MessageQueue.configure(url)
        queue = type("Queue", (MessageQueue,), KEEP_ALL).instance("room")
        count = 0

        async def one():
            nonlocal count
            while True:
                n, count = count, count + 1
                (id,) = await queue.publish({"life": life, "n": n})
                os.write(out, f"{life} {n} {id}\n".encode())

        await asyncio.gather(*(one() for _ in range(IN_FLIGHT)))

    try:
        asyncio.run(main())
    finally:
        os._exit(1)


def one_life(url, life, seconds):
    """Run a process, kill it `seconds` after its first line, and return its lines."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        publish_for_ever(url, life, theirs)
    os.close(theirs)
    said = os.read(ours, 1 << 16)
    end = time.monotonic() + seconds
    os.set_blocking(ours, False)
    while time.monotonic() < end:
        time.sleep(0.001)
        with contextlib.suppress(BlockingIOError):
            said += os.read(ours, 1 << 20)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.set_blocking(ours, True)
    while more := os.read(ours, 1 << 20):
        said += more
    os.close(ours)
    # The last line may be cut off.
    return [line.split() for line in said.decode().split("\n")[:-1]]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_kill(path):
    seeded = random.Random(9)
    url = f"sqlite:{path}"
    acknowledged = {}
    for life in range(LIVES):
        for _, n, id in one_life(url, life, seeded.uniform(0, 0.06)):
            acknowledged[life, int(n)] = id
    assert {life for life, _ in acknowledged} == {*range(LIVES)}
    file = sqlite3.connect(path)
    assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    rows = file.execute("SELECT ms, seq, body FROM events ORDER BY ms, seq").fetchall()
    file.close()
    stored = {}
    for ms, seq, body in rows:
        event = json.loads(body)
        stored.setdefault(event["life"], []).append((event["n"], f"{ms}-{seq}"))
    # The events are in the order of the publishes, without a hole, one life after the other.
    assert [*stored] == [*range(LIVES)]
    for events in stored.values():
        assert [n for n, _ in events] == [*range(len(events))]
    by_name = {(life, n): id for life, events in stored.items() for n, id in events}
    assert acknowledged.items() <= by_name.items()
    ids = [*by_name.values()]
    assert len(set(ids)) == len(ids)
    assert sorted(ids, key=position) == ids
    asyncio.run(resume(url, by_name))


async def resume(url, by_name):
    """A client with a cursor of the last life but one gets all later events, without a gap."""
    MessageQueue.configure(url)
    queue = type("Queue", (MessageQueue,), KEEP_ALL).instance("room")
    got = await queue.poll_once(None, last_event_id=by_name[LIVES - 2, 0])
    expected = [n for life, n in by_name if life >= LIVES - 2]
    assert numbers(got) == expected[1:]
    engine = MessageQueue._registry.engine
    MessageQueue.reset()
    await engine.close()
