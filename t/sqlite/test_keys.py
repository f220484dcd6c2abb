"""The file stores the last event of each key, separately from the other events."""

import contextlib
import sqlite3
import time

import pytest
from message_queue.fakes import numbers
from support.answers import until

from tatsumaki_py import MessageQueue
from tatsumaki_py.message_queue.engine.sqlite import file as files
from tatsumaki_py.message_queue.ids import Ids

SHORT = {"backlog_length": 1, "buffer_length": 3}


def rows(path):
    with contextlib.closing(sqlite3.connect(path)) as file:
        return file.execute("SELECT key FROM lasts ORDER BY ms, seq").fetchall()


@pytest.mark.parametrize("end", ["stop", "kill"])
@pytest.mark.gen_test
async def test_a_restart(program, end):
    """After a restart, new clients get the last event of each key; keys can be invalid Unicode."""
    queue = program.start(**SHORT)
    for n, key in enumerate(["a", "\ud800", "a", *[None] * 9]):
        await queue.publish({"n": n}, key=key)
    assert numbers(queue.backlog_events) == [1, 2, 11]
    await getattr(program, end)()
    queue = program.start(**SHORT)
    assert numbers(queue.backlog_events) == [1, 2, 11]
    await queue.publish({"n": 12}, key="\ud800")
    events = await queue.poll_once(None)
    assert [(event["n"], event.key) for event in events] == [(2, "a"), (12, "\ud800")]


@pytest.mark.gen_test
async def test_an_unknown_name_after_a_kill(program):
    """After a kill, an unknown name may have listened before: it gets a gap and the kept events."""
    queue = program.start(**SHORT)
    for n, key in enumerate(["a", *[None] * 9]):
        await queue.publish({"n": n}, key=key)
    await program.kill()
    queue = program.start(**SHORT)
    await queue.publish({"n": 10})
    assert numbers(await queue.poll_once("me"))[:2] == ["gap", 0]


@pytest.mark.gen_test
async def test_eviction(program, path):
    """The file keeps at most `kept_keys` events with keys."""
    queue = program.start(backlog_length=0, kept_keys=2)
    for n in range(5):
        await queue.publish({"n": n}, key=f"{n}")
    assert rows(path) == [("3",), ("4",)]
    assert numbers(queue.backlog_events) == [3, 4]
    queue._channel.release()
    queue.kept_keys = 0
    await queue.publish({"n": 5}, key="5")
    assert rows(path) == []
    assert queue.backlog_events == []
    del queue.kept_keys


@pytest.mark.gen_test
async def test_a_sweep(program, path):
    """A sweep drops kept events that are too old, and those of idle channels."""
    queue = program.start(time_to_live=0.01)
    await queue.publish({"n": 1}, key="a")
    idle = type("Idle", (MessageQueue,), {"idle_timeout": 0, "buffer_length": 0}).instance("idle")
    idle.recovery_time = idle.reconnect_time = idle.backlog_length = 0
    await idle.publish({"n": 1}, key="b")
    assert rows(path) == [("a",), ("b",)]
    time.sleep(0.02)
    program.engine.session().writer._sweep_at = 0.0
    await queue.publish(1)
    await until(lambda: rows(path) == [])


@pytest.mark.gen_test
async def test_a_file_without_keys(program, path):
    """A file of version 0.1 is upgraded and keeps its events."""
    start = Ids().next()
    with contextlib.closing(sqlite3.connect(path)) as file:
        for statement in files.STEPS[0]:
            file.execute(statement)
        file.execute("INSERT INTO life VALUES (?, ?, 0.0, 0)", (start, start))
        file.execute(f"PRAGMA application_id = {files.APPLICATION}")
        file.execute("PRAGMA user_version = 1")
        ms, seq = map(int, start.split("-"))
        limits = (0.0, 0.0, 30.0, 30.0, 3600.0, None)
        row = (1, "room", start, f"{ms}-{seq + 1}", start, 1, 519, *limits)
        file.execute(f"INSERT INTO channels VALUES ({','.join('?' * 13)})", row)
        file.execute("INSERT INTO events VALUES (1, ?, ?, 0.0, 0, ?)", (ms, seq + 1, b'{"n":1}'))
        file.commit()
    queue = program.start()
    assert [(event["n"], event.key) for event in queue.backlog_events] == [(1, None)]
    await queue.publish({"n": 2}, key="a")
    assert numbers(queue.backlog_events) == [1, 2]
