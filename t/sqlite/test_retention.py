"""Which events the file keeps, and how large it becomes."""

import asyncio
import os
import sqlite3

import pytest
from message_queue.fakes import Taker, events, numbers

from tatsumaki_py import MessageQueue
from tatsumaki_py.message_queue.engine.sqlite import trimming, writer


@pytest.fixture
def sweep(program, monkeypatch):
    """`await sweep()` gives the engine time to drop events and channels that it need not keep."""
    monkeypatch.setattr(writer, "SWEEP", 0.02)

    async def sweep():
        await asyncio.sleep(0.1)

    return sweep


@pytest.fixture
def stored(program):
    """`stored()` returns how many events of each channel are in the file."""

    def ask():
        file = sqlite3.connect(program.path)
        query = (
            "SELECT name, (SELECT count(*) FROM events WHERE channel = channels.id) FROM channels"
        )
        found = dict(file.execute(query).fetchall())
        counts = dict(file.execute("SELECT name, count FROM channels").fetchall())
        file.close()
        assert counts == found
        return found

    return ask


@pytest.mark.gen_test
async def test_length(program, stored):
    queue = program.start(buffer_length=100, backlog_length=5)
    for n in range(0, 1000, 50):
        await queue.publish(*events(*range(n, n + 50)))
    assert 100 <= stored()["room"] <= 107
    first = (await queue.poll_once(None, last_event_id=""))[0]
    assert numbers([first]) == [995]


@pytest.mark.gen_test
async def test_bytes(program, stored):
    """The file keeps the newest events that fit into `buffer_size`."""
    queue = program.start(buffer_size=20_000)
    for n in range(50):
        await queue.publish({"n": n, "text": "x" * 1000})
    assert 11 <= stored()["room"] <= 14
    await program.stop()
    queue = program.start(buffer_size=20_000)
    assert numbers(queue.backlog_events)[-1] == 49


@pytest.mark.gen_test
async def test_age(program, stored, sweep, clock):
    """Events younger than `recovery_time` stay, and the backlog stays at any age. Events do not age
    while no process uses the file.
    """
    settings = {"recovery_time": 60, "reconnect_time": 60, "backlog_length": 2}
    queue = program.start(**settings)
    (id,) = await queue.publish({"n": 0})
    await queue.publish(*events(1, 2, 3))
    await program.stop()
    queue = program.start(**settings)
    await clock.advance(50)
    await queue.publish({"n": 4})
    await sweep()
    assert stored() == {"room": 5}
    assert numbers(await queue.poll_once(None, last_event_id=id)) == [1, 2, 3, 4]
    await clock.advance(30)
    await MessageQueue.instance("another").publish({"n": 0})
    await sweep()
    assert stored() == {"another": 1, "room": 2}


@pytest.mark.gen_test
async def test_time_to_live(program, stored, sweep):
    """Events older than `time_to_live`, by the machine's clock, are dropped."""
    queue = program.start(time_to_live=0.3)
    await queue.publish(*events(1, 2))
    assert stored() == {"room": 2}
    await asyncio.sleep(0.35)
    await sweep()
    assert stored() == {"room": 0}


@pytest.mark.gen_test
async def test_idle(program, stored, sweep, clock):
    """The events of an idle channel without clients are dropped; its newest id is kept."""
    queue = program.start(idle_timeout=100)
    (id,) = await queue.publish({"n": 1})
    other = type("Queue", (MessageQueue,), {"idle_timeout": 100}).instance("other")
    await other.publish({"n": 2})
    await program.stop()
    program.start(idle_timeout=100)
    MessageQueue.instance("other").poll("me", Taker())
    await clock.advance(101)
    await MessageQueue.instance("third").publish({"n": 3})
    await sweep()
    assert stored() == {"room": 0, "other": 1, "third": 1}
    await program.stop()
    queue = program.start()
    assert queue.cursor() == id


@pytest.mark.gen_test
async def test_max_size(program, stored, monkeypatch):
    """Beyond `max_size`, the least recently used channels without clients lose their events."""
    monkeypatch.setattr(MessageQueue, "max_size", 100_000)
    program.start()
    MessageQueue.instance("0").poll("me", Taker())
    for n in range(200):
        await MessageQueue.instance(str(n)).publish({"n": n, "text": "x" * 3000})
    found = stored()
    assert sum(count for count in found.values()) <= 29
    assert found["0"] == found["199"] == found["190"] == 1
    assert found["1"] == 0


@pytest.mark.gen_test
async def test_forgotten_channels(program, stored, sweep, clock, monkeypatch):
    """The file keeps the newest id of a forgotten channel, and the number of these ids is bounded.
    A client with a cursor of a channel beyond that bound gets a gap.
    """
    monkeypatch.setattr(trimming, "MAX_TOPS", 16)
    queue = program.start(idle_timeout=1)
    (id,) = await queue.publish({"n": 1})
    del queue
    for n in range(40):
        kind = type("Queue", (MessageQueue,), {"idle_timeout": 1})
        await kind.instance(str(n)).publish({"n": n})
    await clock.advance(100)
    await MessageQueue.instance("another").publish({"n": 1})
    await sweep()
    assert len(stored()) <= 17
    await program.stop()
    queue = program.start()
    await queue.publish({"n": 2})
    assert numbers(await queue.poll_once(None, last_event_id=id)) == ["gap", 2]


@pytest.mark.gen_test
async def test_idempotency_keys(program, monkeypatch):
    queue = program.start(idempotency_keys=10)
    for n in range(50):
        await queue.publish({"n": n}, idempotency_key=f"key {n}")
    file = sqlite3.connect(program.path)
    assert file.execute("SELECT count(*), max(key) FROM keys").fetchone() == (10, "key 49")
    file.close()


@pytest.mark.gen_test
async def test_the_size_of_the_file(program, sweep, monkeypatch):
    """Pages are reused and returned to the file system, and the size of SQLite's log is bounded."""
    queue = program.start(buffer_length=100, backlog_length=5)
    sizes = []
    for n in range(30):
        await queue.publish(*({"n": n, "text": "x" * 10_000} for _ in range(100)))
        sizes.append(os.path.getsize(program.path))
    assert max(sizes) < 5_000_000
    assert os.path.getsize(f"{program.path}-wal") < 10_000_000
    queue.time_to_live = 0.001
    await queue.publish({"n": 0})
    await sweep()
    await sweep()
    await program.stop()
    assert os.path.getsize(program.path) < 2_500_000
    assert not os.path.exists(f"{program.path}-wal")
