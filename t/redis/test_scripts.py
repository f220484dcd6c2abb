"""The scripts handle ids, retention, repeated and late calls, and keys."""

import time

import pytest

from tatsumaki_py import Error
from tatsumaki_py.message_queue.engine.redis.calls import Late, publish_call, read_reply
from tatsumaki_py.message_queue.engine.redis.keys import Keys
from tatsumaki_py.message_queue.engine.redis.scripts import HISTORY, PUBLISH, RECOVER
from tatsumaki_py.message_queue.engine.redis.wire import (
    DEFAULTS,
    entries_of,
    marked,
    pack,
    stored_settings,
)
from tatsumaki_py.message_queue.event import OVERHEAD
from tatsumaki_py.message_queue.ids import position
from tatsumaki_py.message_queue.settings import ChannelSettings, settings_of

KEYS = Keys("tats", "room")
DAY = 86400.0


class Publisher:
    """A stand-in for a process that calls the scripts."""

    def __init__(self, connections, process="a", **settings):
        self.connections = connections
        self.process = process
        self.number = 0
        self.settings = stored_settings(settings_of(ChannelSettings, settings))

    async def run(self, script, *words):
        (reply,) = await self.connections.run([("EVAL", script.text, *words)])
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def publish(self, *bodies, number=None, **options):
        self.number += 1
        number = number or self.number
        options = {"settings": self.settings, "top_time": DAY} | options
        words = publish_call(KEYS, self.process, number, bodies, **options)
        return read_reply(await self.run(PUBLISH, *words), len(bodies))

    async def kept(self):
        (rows,) = await self.connections.run([("XRANGE", KEYS.stream, "-", "+")])
        return [entry.json for entry in entries_of("room", rows)]

    async def recover(self, cursor, backlog="", most=1000):
        words = (2, KEYS.stream, KEYS.top, cursor, backlog, most, self.settings, 1000, 7)
        known, top, rows, _ = await self.run(RECOVER, *words)
        return known, top.decode(), [entry.json for entry in entries_of("room", rows)]


@pytest.fixture
def publisher(connect, redis_server):
    """`publisher("a", backlog_length=3)` returns a publisher with these settings."""
    return lambda process="a", **settings: Publisher(connect(redis_server.url), process, **settings)


def events(*numbers):
    return [b"%d" % n for n in numbers]


@pytest.mark.gen_test
async def test_ids_follow_each_other(publisher):
    one = publisher()
    first = await one.publish(*events(1, 2))
    second = await one.publish(*events(3))
    assert second.prev == first.ids[-1]
    ids = [*first.ids, *second.ids]
    assert sorted(ids, key=position) == ids
    assert abs(position(ids[0])[0] - 1000 * time.time()) < 5000


@pytest.mark.gen_test
async def test_the_clock_steps_back(publisher, connect, redis_server):
    """If the clock steps back, ids continue after the newest one."""
    one = publisher()
    later = int(1000 * time.time()) + 3_600_000
    await connect(redis_server.url).run([("SET", KEYS.top, f"{later}-5 0 0 0 -")])
    accepted = await one.publish(*events(1, 2))
    assert (accepted.prev, accepted.ids) == (f"{later}-5", [f"{later}-6", f"{later}-7"])


@pytest.mark.gen_test
async def test_length(publisher):
    """The newest events stay: `backlog_length` events of any age, and up to `buffer_length` recent
    ones.
    """
    one = publisher(backlog_length=3, buffer_length=5)
    for n in range(10):
        await one.publish(*events(n))
    assert await one.kept() == events(5, 6, 7, 8, 9)
    old = publisher("b", backlog_length=3, recovery_time=0, reconnect_time=0)
    time.sleep(0.01)
    (raw,) = await old.connections.run([("GET", KEYS.top)])
    # The script removes old events once a second.
    top, total, base, _, rest = raw.split(b" ", 4)
    await old.connections.run([("SET", KEYS.top, b" ".join([top, total, base, b"0", rest]))])
    await old.publish(*events(10))
    assert await one.kept() == events(8, 9, 10)


@pytest.mark.gen_test
async def test_size(publisher):
    """The events, including the overhead of each, take at most `buffer_size` bytes."""
    body = b'"' + b"x" * 98 + b'"'
    one = publisher(buffer_size=3 * (100 + OVERHEAD))
    for n in range(4):
        await one.publish(body, *events(n))
        count = len(await one.kept())
        assert count <= 4
    assert (await one.kept())[-3:] == [*events(2), body, *events(3)]
    await one.publish(b'"' + b"x" * 5000 + b'"')
    assert await one.kept() == []
    await one.publish(*events(5))
    assert await one.kept() == events(5)


@pytest.mark.gen_test
async def test_time_to_live(publisher):
    one = publisher(time_to_live=0.05)
    accepted = await one.publish(*events(1, 2))
    assert (await one.recover("", 10))[2] == events(1, 2)
    time.sleep(0.06)
    known, top, rows = await one.recover(accepted.ids[-1], 10)
    assert (known, top, rows) == (1, accepted.ids[-1], [])
    assert (await one.recover(accepted.ids[0]))[0] == 0


@pytest.mark.gen_test
async def test_what_is_known(publisher):
    """A cursor is known if it is the newest id, the id of a kept event, or the id before them."""
    one = publisher(buffer_length=3, backlog_length=3)
    before = (await one.recover("", 3))[1]
    assert await one.recover(before) == (1, before, [])
    ids = (await one.publish(*events(1, 2, 3))).ids
    assert await one.recover(before) == (1, ids[2], events(1, 2, 3))
    ids += (await one.publish(*events(4))).ids
    assert await one.recover(ids[0]) == (1, ids[3], events(2, 3, 4))
    assert await one.recover(ids[3]) == (1, ids[3], [])
    for cursor in (before, "0-0", "1-1", f"{ids[3]}0"):
        assert await one.recover(cursor) == (0, ids[3], events(2, 3, 4))
    assert await one.recover(ids[2], 2) == (1, ids[3], events(3, 4))
    assert await one.recover(ids[0], 1) == (1, ids[3], events(2, 3, 4))
    assert await one.recover(ids[0], most=2) == (1, ids[3], events(2, 3))
    words = 2, KEYS.stream, KEYS.top, ids[0], ids[2]
    assert len(await one.run(HISTORY, *words, 2, "")) == 2
    assert await one.run(HISTORY, *words, 1, "") is None


@pytest.mark.gen_test
async def test_settings_of_another_publisher(publisher):
    """A publisher without settings uses those that a server has stored."""
    server, outside = publisher(buffer_length=2, backlog_length=2), publisher("outside")
    await server.recover("", 1)
    outside.settings = ""
    await outside.publish(*events(1, 2, 3))
    assert await server.kept() == events(2, 3)
    await publisher("other").publish(*events(4))
    await outside.publish(*events(5))
    assert await server.kept() == events(2, 3, 4, 5)


@pytest.mark.gen_test
async def test_a_call_comes_again(publisher):
    """A repeated call is answered as before; an older call does nothing."""
    one, other = publisher("a"), publisher("b")
    first = await one.publish(*events(1))
    await other.publish(*events(2))
    again = await one.publish(*events(1), number=1)
    assert (again.ids, again.prev) == (first.ids, first.prev)
    await one.publish(*events(3), number=5)
    assert isinstance(await one.publish(*events(4), number=4), Late)
    assert await one.kept() == events(1, 2, 3)


@pytest.mark.gen_test
async def test_deadline(publisher):
    one = publisher()
    now = int(1000 * time.time())
    assert isinstance(await one.publish(*events(1), deadline=now - 1), Late)
    await one.publish(*events(2), deadline=now + 5000)
    assert await one.kept() == events(2)


@pytest.mark.gen_test
async def test_idempotency_keys(publisher):
    """Each channel remembers `idempotency_keys` keys for `idempotency_time`."""
    one = publisher(idempotency_keys=3, idempotency_time=0.2)
    ids = {}
    for n in range(5):
        ids[n] = (await one.publish(*events(n), idempotency_key=f"key {n}")).ids
    for n in (2, 3, 4):
        assert (await one.publish(*events(n), idempotency_key=f"key {n}")).ids == ids[n]
        with pytest.raises(Error.HTTP) as raised:
            await one.publish(*events(n, n), idempotency_key=f"key {n}")
        assert raised.value.code == 422
    assert (await one.publish(*events(0), idempotency_key="key 0")).ids != ids[0]
    assert (await one.publish(idempotency_key="unknown")).ids == []
    time.sleep(0.21)
    assert (await one.publish(*events(4), idempotency_key="key 4")).ids != ids[4]
    (count,) = await one.connections.run([("ZCARD", KEYS.answers)])
    assert count == 1


@pytest.mark.gen_test
async def test_everything_runs_out(publisher):
    """Every key in Redis expires."""
    one = publisher(idle_timeout=100)
    await one.publish(*events(1))
    await one.publish(*events(2), idempotency_key="key")
    names = (await one.connections.run([("KEYS", "*")]))[0]
    assert len(names) == 5
    left = await one.connections.run([("PTTL", name) for name in names])
    times = dict(zip(names, left, strict=True))
    assert all(left > 0 for left in times.values())
    assert 199_000 < times[KEYS.stream] <= 200_000
    assert DAY * 999 < times[KEYS.top] <= DAY * 1000


@pytest.mark.gen_test
async def test_keys(publisher):
    """The last event of each key is stored separately, and expires together with the stream."""
    one = publisher(backlog_length=1, buffer_length=2, kept_keys=3, idle_timeout=50)
    for n, key in enumerate(["a", "b", None, "a", "c", "d", None]):
        await one.publish(*events(n), marks=[marked(key)])
    (rows, ids, *lives) = await one.connections.run(
        [("XRANGE", KEYS.last, "-", "+"), ("HGETALL", KEYS.ids)]
        + [("PTTL", name) for name in (KEYS.stream, KEYS.last, KEYS.ids)]
    )
    assert [(entry.json, entry.key) for entry in entries_of("room", rows)] == [
        (b"3", "a"),
        (b"4", "c"),
        (b"5", "d"),
    ]
    assert sorted(ids[::2]) == [b"", b"a", b"c", b"d"]
    assert int(ids[ids.index(b"") + 1]) == 3 * (1 + OVERHEAD)
    assert all(149_000 < life <= 150_000 for life in lives)


@pytest.mark.gen_test
async def test_keys_of_a_life_whose_clock_was_ahead(publisher):
    """If only the kept events of an earlier life are left, they are replaced."""
    one = publisher()
    later = int(1000 * time.time()) + 3_600_000
    await one.connections.run([("XADD", KEYS.last, f"{later}-1", "e", "0-1 0  0", "k", "old")])
    await one.publish(*events(1), marks=[marked("a")])
    (rows,) = await one.connections.run([("XRANGE", KEYS.last, "-", "+")])
    assert [entry.key for entry in entries_of("room", rows)] == ["a"]


@pytest.mark.gen_test
async def test_processes_of_version_0_1(publisher):
    """An old process cannot mistake an event with a key for another event: reading it fails."""
    one = publisher()
    await one.publish(*events(1), marks=[marked("a")])
    (((_, fields),),) = await one.connections.run([("XRANGE", KEYS.stream, "-", "+")])
    with pytest.raises(ValueError, match="too many values"):
        _, _ = fields
    with pytest.raises(ValueError, match="invalid literal"):
        int(pack(events(1), [marked("a")]).split()[0].rstrip(b"q"))
    # The settings that an old process stored contain no number of keys.
    old = one.settings.rsplit(" ", 1)[0] if " " in one.settings else DEFAULTS.rsplit(" ", 1)[0]
    await one.publish(*events(2), marks=[marked("b")], settings=old)
    (count,) = await one.connections.run([("XLEN", KEYS.last)])
    assert count == 2
