"""append_backlog: only new clients get the events."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from message_queue.fakes import Taker, events, numbers
from support.answers import until

from tatsumaki_py import MessageQueue


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_a_newcomer_gets_it(queue):
    """A new client's long poll or stream gets the appended events in order with published ones."""
    stream = Taker()
    await queue.append_backlog({"n": 1})
    await queue.publish({"n": 2})
    await queue.append_backlog(*events(3, 4))
    assert numbers(queue.backlog_events) == [1, 2, 3, 4]
    assert numbers(await queue.poll_once("new")) == [1, 2, 3, 4]
    assert numbers(await queue.poll_once(None)) == [1, 2, 3, 4]
    queue.poll("stream", stream)
    await until(lambda: stream.calls == [[1, 2, 3, 4]])


@pytest.mark.gen_test
async def test_nobody_else_does(queue):
    """A client that listens, is expected back, or has a cursor does not get appended events."""
    once, stream = Taker(), Taker()
    queue.poll_once("once", once)
    queue.poll("stream", stream)
    await queue.poll_once("back", timeout=0)
    await queue.ready()
    cursor = queue.cursor()
    await queue.append_backlog(*events(1, 2))
    assert await queue.poll_once("back", timeout=0) == []
    assert await queue.poll_once(None, timeout=0, last_event_id=cursor) == []
    await queue.publish({"n": 3})
    await until(lambda: once.calls == stream.calls == [[3]])
    assert numbers(await queue.poll_once("back")) == [3]
    assert numbers(await queue.poll_once(None, last_event_id=cursor)) == [3]


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_of_several_channels(queue, make_queue):
    """A new client of several channels gets their appended events; one that listens does not."""
    both, stream = MessageQueue.instance("other", "room"), Taker()
    both.poll("stream", stream)
    await queue.append_backlog({"n": 1})
    await make_queue("other").append_backlog({"n": 2})
    await queue.publish({"n": 3})
    assert stream.calls == [[3]]
    assert numbers(await both.poll_once("new")) == [1, 2, 3]
    assert numbers(await both.poll_once("new", timeout=0)) == []


@pytest.mark.engines("memory", "distant", "late")  # the channel may be loaded after the publish
@pytest.mark.gen_test
async def test_it_is_no_loss(make_queue):
    """A client that listens gets no gap if more events are appended than are kept."""
    queue = make_queue(backlog_length=2, buffer_length=5, recovery_time=0)
    stream, once = Taker(), Taker()
    queue.poll("stream", stream)
    queue.poll_once("once", once)
    await queue.append_backlog(*events(*range(10)))
    assert numbers(queue.backlog_events) == [8, 9]
    await queue.publish({"n": 10})
    await until(lambda: stream.calls == once.calls == [[10]])


@pytest.mark.gen_test
async def test_in_a_callback(queue):
    """If a callback appends and publishes, listeners get the published events in log order."""
    got = []

    def callback(*events):
        got.extend(numbers(events))
        if got == [1]:
            queue.append_backlog({"n": 2})
            queue.publish({"n": 3})
            queue.append_backlog({"n": 4})

    other = Taker()
    queue.poll("first", callback)
    queue.poll("second", other)
    await queue.publish({"n": 1})
    await queue.publish({"n": 5})
    assert got == other.seen == [1, 3, 5]


@given(st.lists(st.sampled_from(["publish", "append", "come", "go", "back"]), max_size=20))
def test_any_order(steps):
    """For any order of steps, each client gets the events that a model predicts."""
    MessageQueue.reset()
    model, taken, polls, names = {}, {}, {}, iter(range(100))

    async def run():
        queue, log = MessageQueue.instance("room"), []
        for n, step in enumerate(steps):
            if step in ("publish", "append"):
                quiet = step == "append"
                log.append(n)
                (queue.append_backlog if quiet else queue.publish)({"n": n})
                for name in model:
                    if not quiet:
                        model[name].append(n)
            elif step == "come":
                name = str(next(names))
                model[name] = log[-queue.backlog_length :]
                taken[name] = Taker()
                polls[name] = queue.poll(name, taken[name])
            elif polls and step == "go":
                polls.pop(next(iter(polls))).cancel()
            elif step == "back":
                for name in model:
                    if name not in polls:
                        polls[name] = queue.poll(name, taken[name])
        for name in model:
            if name not in polls:
                queue.poll(name, taken[name])

    asyncio.run(run())
    assert {name: taker.seen for name, taker in taken.items()} == model
