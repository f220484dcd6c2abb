"""end(): listeners get the events they lack and the end as the last event, and are finished."""

import asyncio

import pytest
from support.wire import iterations, soon

from tatsumaki_py import MessageQueue
from tatsumaki_py.message_queue import ending

END = {"type": "end"}


@pytest.fixture
def mq():
    return MessageQueue.instance("room")


async def collect(poll):
    return [event async for events in poll for event in events]


@pytest.mark.gen_test
async def test_who_listens(mq):
    """Iterating code, callbacks and a long poll get the end, and leave no subscriber."""
    told, left = [], []
    reading = asyncio.ensure_future(collect(mq.poll("ann", on_unsubscribe=lambda: left.append(1))))
    mq.poll("bob", lambda *events: told.extend(events), on_unsubscribe=lambda: left.append(2))
    mq.poll(None, lambda *events: told.extend(events), on_unsubscribe=lambda: left.append(3))
    polling = asyncio.ensure_future(mq.poll_once("eve", on_unsubscribe=lambda: left.append(4)))
    await iterations()
    assert mq.subscribers == 4
    await mq.end()
    assert await reading == [END]
    assert await polling == [END]
    await soon(lambda: len(left) == 4)
    assert told == [END, END]
    assert told[0].end
    assert told[0].id == mq.cursor()
    assert (mq.ended, mq.subscribers, sorted(left)) == (True, 0, [1, 2, 3, 4])


@pytest.mark.gen_test
async def test_who_comes_later(mq):
    """A later client gets the events that it lacks; one that has all of them gets the end again."""
    first, last = await mq.publish("a", "b")
    (end,) = await mq.end()
    assert await mq.poll_once(None) == ["a", "b", END]
    assert await mq.poll_once(None, last_event_id=first) == ["b", END]
    for cursor in (last, end):
        assert await mq.poll_once(None, last_event_id=cursor) == [END]
        assert await collect(mq.poll(None, last_event_id=cursor)) == [END]
    assert await collect(mq.poll("ann")) == ["a", "b", END]
    (again,) = await mq.poll_once("ann")
    assert (again, again.id, again.end) == (END, end, True)
    assert (await mq.poll_once(None, last_event_id="1-0"))[0].gap
    assert await mq.poll_once("ann", timeout=0) == [END]


@pytest.mark.gen_test
async def test_a_slow_reader(mq):
    """The poll of slow code does not end until the code has taken all events."""
    poll = mq.poll("ann")
    mq.publish(1)
    assert await anext(poll) == [1]
    mq.publish(2)
    mq.end()
    await iterations()
    assert "ann" in mq.clients
    assert mq.clients["ann"].listener is not None
    assert await anext(poll) == [2, END]
    with pytest.raises(StopAsyncIteration):
        await anext(poll)


@pytest.mark.gen_test
async def test_a_slow_callback(mq):
    """An async callback gets all events that came during its work before its poll ends."""
    gate, told = asyncio.Event(), []

    async def callback(*events):
        told.append([*events])
        await gate.wait()

    mq.poll("ann", callback)
    mq.publish(1)
    await iterations()
    mq.publish(2)
    mq.end()
    await iterations()
    assert (told, mq.subscribers) == ([[1]], 1)
    gate.set()
    await soon(lambda: not mq.subscribers)
    assert told == [[1], [2, END]]


@pytest.mark.gen_test
async def test_it_goes_on(mq):
    """An event that is published right after the end continues the channel, and its polls stay."""
    told = []
    poll = mq.poll("ann", lambda *events: told.extend(events))
    mq.end()
    mq.publish("more")
    assert not mq.ended
    await iterations()
    assert (told, mq.subscribers) == ([END, "more"], 1)
    poll.cancel()
    assert await mq.poll_once(None) == [END, "more"]
    await mq.end()
    await mq.end()
    assert await mq.poll_once("bob") == [END, "more", END, END]


@pytest.mark.gen_test
async def test_a_callback_publishes(mq):
    """If a callback publishes an event when it gets the end, its poll continues."""
    told = []

    def callback(*events):
        told.extend(events)
        if told == [END]:
            mq.publish("a late one")

    mq.poll("ann", callback)
    mq.end()
    await iterations()
    assert (told, mq.subscribers, mq.ended) == ([END, "a late one"], 1, False)


@pytest.mark.gen_test
async def test_in_turns(mq, monkeypatch):
    """Many polls end a few at a time, so that the loop can do other work in between."""
    monkeypatch.setattr(ending, "TURN", 0.0)
    for _ in range(20):
        mq.poll(None, lambda *events: None)
    mq.end()
    counts = []
    while mq.subscribers:
        counts.append(mq.subscribers)
        await asyncio.sleep(0)
    assert counts == [*range(20, 0, -1)]


@pytest.mark.gen_test
async def test_several_channels(mq):
    """A poll of several channels ends when all of them have ended; each end names its channel."""
    other = MessageQueue.instance("other")
    both = MessageQueue.instance("other", "room")
    told = []
    both.poll("ann", lambda *events: told.extend(events))
    mq.end()
    await iterations()
    assert (told, both.ended, both.subscribers) == ([END], False, 1)
    assert told[0].channel == "room"
    assert told[0].end
    other.publish("more")
    other.end()
    await soon(lambda: not both.subscribers)
    assert told[1:] == ["more", END]
    assert both.ended
    assert told[-1].id == both.cursor()
    again = await both.poll_once(None, last_event_id=both.cursor())
    assert again == [END, END]
    assert [event.channel for event in again] == ["other", "room"]


@pytest.mark.gen_test
async def test_idempotency_key(mq):
    """Calling `end` again with the same idempotency key publishes only one end."""
    first = await mq.end(idempotency_key="k")
    assert await mq.end(idempotency_key="k") == first
    assert mq.backlog_events == [END]
    assert mq.backlog_events[0].json == b'{"type":"end"}'


@pytest.mark.parametrize("event", [END, {"type": "end", "n": 1}])
@pytest.mark.gen_test
async def test_no_other_way(mq, event):
    """Publishing an event of the type "end" is refused, as it would end the channel."""
    for call in (mq.publish, mq.append_backlog):
        with pytest.raises(ValueError, match='type "end" would end the channel'):
            call(event)
    mq.publish({"type": "ended"}, "end", ["end"])
    assert not mq.ended


@pytest.mark.gen_test
async def test_from_a_thread(mq):
    """Another thread can end a channel."""
    loop = asyncio.get_running_loop()
    mq.publish("before")
    (id,) = await loop.run_in_executor(None, lambda: mq.end().result(5))
    assert (mq.ended, mq.cursor()) == (True, id)


@pytest.mark.gen_test
async def test_what_is_kept(mq):
    """A channel is still ended when its end is no longer kept."""
    mq.backlog_length = mq.recovery_time = 0
    await mq.end()
    mq._channel.trim()
    assert (mq.backlog_events, mq.ended) == ([], True)
    (end,) = await mq.poll_once(None, last_event_id=mq.cursor())
    assert end.end


@pytest.mark.gen_test
async def test_code_that_does_not_look(mq):
    """Code that polls an ended channel again and again, without checking for the end, does not
    block the loop.
    """
    await mq.end()
    calls = []

    async def loop():
        while len(calls) < 10_000:
            calls.append(await mq.poll_once("ann"))

    def again(*events):
        calls.append([*events])
        mq.poll_once("bob", again)

    def follow(*events):
        calls.append([*events])
        mq.poll("eve", follow)

    polling = asyncio.ensure_future(loop())
    again()
    follow()
    await asyncio.sleep(0.01)
    assert 4 < len(calls) < 500
    assert all(events == [END] for events in calls if events)
    polling.cancel()
    mq.disconnect()
    mq.publish("more")


@pytest.mark.gen_test
async def test_it_goes_on_before_the_end_comes_again(mq):
    """A poll that is about to get the end again gets a new event instead. A slow stream is finished
    by the next end.
    """
    (end,) = await mq.end()
    told = []

    async def slow(*events):
        told.extend(events)
        await asyncio.sleep(0.12)

    mq.poll("ann", slow, last_event_id=end)
    polling = asyncio.ensure_future(mq.poll_once(None, last_event_id=end))
    await iterations()
    mq.publish("more")
    assert await polling == ["more"]
    mq.end()
    await soon(lambda: not mq.subscribers)
    assert told == ["more", END]
