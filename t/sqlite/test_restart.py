"""Accepted events and the places of clients survive a stop or a kill of the process."""

import asyncio

import pytest
from message_queue.fakes import FakePeer, Taker, events, numbers
from support.answers import until

from tatsumaki_py import Error, MessageQueue
from tatsumaki_py.message_queue.ids import position


@pytest.fixture(params=["stop", "kill"])
def end(request, program):
    """`await end()` ends this life of the program: it stops or kills it."""
    return getattr(program, request.param)


@pytest.mark.gen_test
async def test_a_client_with_a_cursor_resumes(program, end):
    """A client with a cursor gets all missed events of both lives; a new one gets the backlog."""
    queue = program.start(backlog_length=2)
    ids = await queue.publish(*events(*range(10)))
    await end()
    queue = program.start(backlog_length=2)
    assert queue.cursor() == ids[-1]
    assert numbers(queue.backlog_events) == [8, 9]
    await queue.publish({"n": 10})
    assert numbers(await queue.poll_once(None, last_event_id=ids[3])) == [*range(4, 11)]
    assert numbers(await queue.poll_once(None)) == [9, 10]


@pytest.mark.gen_test
async def test_a_cursor_of_an_empty_channel_is_no_gap(program, end):
    queue = program.start()
    start = queue.cursor()
    await end()
    queue = program.start()
    await queue.publish({"n": 1})
    assert numbers(await queue.poll_once(None, last_event_id=start)) == [1]


@pytest.mark.gen_test
async def test_a_channel_that_has_ended(program, end):
    """A channel is still ended after a restart: a poll gets the remaining events and finishes."""
    queue = program.start()
    (first,) = await queue.publish({"n": 1})
    (last,) = await queue.end()
    await end()
    queue = program.start()
    await queue.ready()
    assert (queue.ended, queue.cursor()) == (True, last)
    polls = (queue.poll(None), queue.poll(None, last_event_id=first))
    all_, rest = [[event async for events in poll for event in events] for poll in polls]
    assert (all_, rest) == ([{"n": 1}, {"type": "end"}], [{"type": "end"}])


@pytest.mark.gen_test
async def test_ids_increase_though_the_clock_goes_back(program, end, monkeypatch):
    queue = program.start()
    ids = await queue.publish(*events(1, 2))
    await end()
    monkeypatch.setattr("time.time_ns", lambda: 1_000_000_000_000_000_000)
    queue = program.start()
    ids += await queue.publish(*events(3, 4))
    assert sorted(set(ids), key=position) == ids
    assert numbers(await queue.poll_once(None, last_event_id=ids[0])) == [2, 3, 4]


@pytest.mark.gen_test
async def test_a_name_alone_resumes(program, end):
    """A named client that left before the restart resumes where it left off, without a cursor."""
    queue = program.start(backlog_length=2)
    await queue.publish(*events(1, 2))
    assert numbers(await queue.poll_once("me")) == [1, 2]
    await asyncio.sleep(0.3)
    await queue.publish(*events(3, 4, 5))
    await end()
    queue = program.start(backlog_length=2)
    await queue.publish({"n": 6})
    assert numbers(await queue.poll_once("me")) == [3, 4, 5, 6]
    await queue.publish({"n": 7})
    assert numbers(await queue.poll_once("me")) == [7]
    assert numbers(await queue.poll_once(None)) == [6, 7]


@pytest.mark.gen_test
async def test_a_name_that_listens_to_two_channels_resumes(program, end):
    program.start()
    both = MessageQueue.instance("room", "hall")
    await MessageQueue.instance("hall").publish({"n": 1})
    assert numbers(await both.poll_once("me")) == [1]
    await asyncio.sleep(0.3)
    await MessageQueue.instance("room").publish({"n": 2})
    await end()
    queue = program.start()
    await queue.publish({"n": 3})
    assert numbers(await MessageQueue.instance("room", "hall").poll_once("me")) == [2, 3]


@pytest.mark.gen_test
async def test_a_name_that_listened_when_the_process_was_killed(program):
    """A named client that listened when the process was killed gets the events of the last
    `recovery_time` seconds before the kill again, and all events that followed. An unknown name
    gets the same events at first, as the two cannot be told apart.
    """
    queue = program.start(backlog_length=2)
    peer = FakePeer()
    queue.poll("me", peer.on_new_event)
    for n in range(5):
        await queue.publish({"n": n})
    assert [n for call in peer.calls for n in call] == [*range(5)]
    await program.kill()
    peer.leave()
    queue = program.start(backlog_length=2, reconnect_time=0.5)
    await queue.publish(*events(*range(5, 10)))
    assert numbers(await queue.poll_once("me")) == [*range(10)]
    await asyncio.sleep(0.5)
    assert numbers(await queue.poll_once("late")) == [8, 9]


@pytest.mark.parametrize("kept", [100, 5])
@pytest.mark.gen_test
async def test_a_slow_client_that_has_only_a_name(program, kept):
    """A named client that was further behind than `recovery_time` when the process was killed gets
    all events that it missed, or a gap if they are no longer in the file.
    """
    settings = {"backlog_length": 2, "recovery_time": 0, "buffer_length": kept}
    queue = program.start(**settings)
    stuck = asyncio.get_running_loop().create_future()
    queue.poll("me", lambda *events: stuck)
    queue.poll("quick", Taker())
    for n in range(10):
        await queue.publish({"n": n})
        await asyncio.sleep(0.01)
    await program.kill()
    stuck.cancel()
    queue = program.start(**settings)
    await queue.publish({"n": 10})
    got = numbers(await queue.poll_once("me"))
    assert got == ([*range(11)] if kept == 100 else ["gap", 9, 10])


@pytest.mark.gen_test
async def test_a_name_after_a_stop_is_new(program):
    """After a normal stop, at which no client listened, an unknown name is a new client."""
    queue = program.start(backlog_length=2)
    await queue.publish(*events(*range(5)))
    await program.stop()
    queue = program.start(backlog_length=2)
    assert numbers(await queue.poll_once("me")) == [3, 4]


@pytest.mark.gen_test
async def test_keys(program, end):
    """After a restart, a retry with a key returns the same ids; different events raise a 422."""
    queue = program.start()
    ids = await queue.publish(*events(1, 2), idempotency_key="key")
    await end()
    queue = program.start()
    assert await queue.publish(*events(1, 2), idempotency_key="key") == ids
    with pytest.raises(Error.HTTP) as error:
        await queue.publish({"n": 3}, idempotency_key="key")
    assert error.value.code == 422
    assert numbers(queue.backlog_events) == [1, 2]


@pytest.mark.gen_test
async def test_quiet_events(program, end):
    """After a restart, quiet events still reach only new clients."""
    queue = program.start()
    (start,) = await queue.publish({"n": 1})
    await queue.append_backlog({"n": 2})
    await queue.publish({"n": 3})
    await end()
    queue = program.start()
    assert numbers(await queue.poll_once(None, last_event_id=start)) == [3]
    assert numbers(await queue.poll_once(None)) == [1, 2, 3]


@pytest.mark.gen_test
async def test_names_that_are_no_text(program, end):
    """Names of channels and clients, and idempotency keys, can be any str, even invalid Unicode."""
    names = ["\ud800", "a\0b", "{}'\"\n", "x" * 1024]
    program.start()
    for name in names:
        await MessageQueue.instance(name).publish({"n": 1}, idempotency_key=name[:255])
        assert numbers(await MessageQueue.instance(name).poll_once(name)) == [1]
    await asyncio.sleep(0.3)
    await end()
    program.start()
    for name in names:
        queue = MessageQueue.instance(name)
        ids = await queue.publish({"n": 1}, idempotency_key=name[:255])
        assert queue.cursor() == ids[0]
        await queue.publish({"n": 2})
        assert numbers(await queue.poll_once(name)) == [2]


@pytest.mark.gen_test
async def test_an_old_cursor_is_a_gap(program, end):
    """After a restart, a cursor before dropped events gets a gap; an unknown id also gets one."""
    queue = program.start(backlog_length=1, buffer_length=2)
    ids = await queue.publish(*events(*range(5)))
    await end()
    queue = program.start(backlog_length=1, buffer_length=2)
    assert numbers(await queue.poll_once(None, last_event_id=ids[1])) == ["gap", 4]
    assert numbers(await queue.poll_once(None, last_event_id=ids[2])) == [3, 4]
    assert numbers(await queue.poll_once(None, last_event_id="12-34")) == ["gap", 3, 4]


@pytest.mark.gen_test
async def test_the_engine_is_used_again_after_close(program):
    """`close` stores all published events, and the next use of the engine opens the file again."""
    queue = program.start()
    taker = Taker()
    queue.poll("me", taker)
    queue.publish({"n": 1})
    await program.engine.close()
    assert taker.seen == [1]
    queue.publish({"n": 2})
    await until(lambda: taker.seen == [1, 2])
    assert numbers(queue.backlog_events) == [1, 2]
