"""If callbacks publish, poll, cancel or disconnect, clients still get events in log order."""

import asyncio
from types import MethodType

import pytest
from message_queue.fakes import FakePeer, Taker, events, numbers, turn
from support.answers import until

from tatsumaki_py import MessageQueue
from tatsumaki_py.message_queue import peer


@pytest.mark.gen_test
async def test_publish_inside(queue):
    """An event that a callback publishes reaches each client once, after the current events."""
    first, last, once = Taker(), Taker(), []

    def echo(*events):
        for n in numbers(events):
            if n < 3:
                queue.publish({"n": n + 1})

    async def again():
        while True:
            once.extend(numbers(await queue.poll_once("once")))

    task = asyncio.ensure_future(again())
    await turn()
    queue.poll("a", first)
    queue.poll("m", echo)
    queue.poll("z", last)
    await queue.publish({"n": 1})
    await until(lambda: first.seen == last.seen == once == [1, 2, 3])
    assert numbers(queue.backlog_events) == [1, 2, 3]
    task.cancel()
    await turn()


@pytest.mark.parametrize("result", [False, True])
@pytest.mark.gen_test
async def test_poll_once_inside(queue, result):
    """A callback that polls again, as is usual in Perl, gets each event once."""
    seen = []

    def on_new_event(*events):
        seen.extend(numbers(events))
        poll = queue.poll_once("me", on_new_event)
        return poll if result else None

    await queue.publish({"n": 0})
    queue.poll_once("me", on_new_event)
    await queue.publish({"n": 1})
    await queue.publish(*events(2, 3))
    await queue.publish({"n": 4})
    await until(lambda: seen == [0, 1, 2, 3, 4])


@pytest.mark.gen_test
async def test_poll_once_inside_with_a_new_function(queue):
    """A client whose callback polls again with a new callback gets each event once."""
    seen = []

    def wait():
        queue.poll_once("me", lambda *events: (seen.extend(numbers(events)), wait())[1])

    wait()
    for n in range(4):
        await queue.publish({"n": n})
    await until(lambda: seen == [0, 1, 2, 3])


@pytest.mark.parametrize("closure", [False, True])
@pytest.mark.gen_test
async def test_poll_once_inside_a_request(queue, closure):
    """A callback of an unfinished handler that polls again gets each event once."""

    class Again(FakePeer):
        def on_new_event(self, *events):
            super().on_new_event(*events)
            callback = (lambda *events: self.on_new_event(*events)) if closure else None
            queue.poll_once("me", callback or self.on_new_event)

    visitor = Again()
    queue.poll_once("me", visitor.on_new_event)
    for n in range(4):
        await queue.publish({"n": n})
    await until(lambda: visitor.calls == [[0], [1], [2], [3]])


@pytest.mark.gen_test
async def test_poll_once_inside_a_coroutine(queue):
    """An `async def` callback that polls again, before or after an await, gets each event once."""
    seen = []

    async def on_new_event(*events):
        seen.extend(numbers(events))
        if len(seen) % 2:
            await asyncio.sleep(0)
        queue.poll_once("me", on_new_event)

    queue.poll_once("me", on_new_event)
    for n in range(6):
        await queue.publish({"n": n})
        await turn(n)
    await until(lambda: len(seen) >= 6)
    await turn()
    assert seen == [*range(6)]


@pytest.mark.gen_test
async def test_stream_replaced_inside(queue):
    """If a stream's callback polls again, the new stream gets only the later events."""
    first, second = Taker(), Taker()

    def callback(*events):
        first(*events)
        queue.poll("me", second)

    queue.poll("me", callback)
    await queue.publish({"n": 1})
    await queue.publish({"n": 2})
    await until(lambda: (first.calls, second.calls) == ([[1]], [[2]]))


@pytest.mark.gen_test
async def test_newcomer_inside(queue):
    """A client that arrives during a delivery gets each event once."""
    newcomers = []

    def callback(*events):
        newcomers.append(Taker())
        queue.poll(f"new{len(newcomers)}", newcomers[-1])

    queue.poll("a", callback)
    await queue.publish(*events(1, 2))
    await queue.publish({"n": 3})
    await until(lambda: [taker.seen for taker in newcomers] == [[1, 2, 3], [1, 2, 3]])


@pytest.mark.parametrize("poll", ["poll", "poll_once"])
@pytest.mark.gen_test
async def test_cancel_inside(queue, poll):
    """If a callback cancels its own poll, exactly the events of its call are confirmed."""
    taker, handles = Taker(), []

    def callback(*events):
        taker(*events)
        handles[0].cancel()

    handles.append(getattr(queue, poll)("me", callback))
    await queue.publish({"n": 1})
    await queue.publish({"n": 2})
    await until(lambda: taker.calls == [[1]])
    assert numbers(await queue.poll_once("me")) == [2]


@pytest.mark.gen_test
async def test_others_cancelled_inside(queue):
    """A poll that is cancelled during a delivery, before its turn, is not called."""
    later = Taker()
    handles = []
    queue.poll("a", lambda *events: handles[0].cancel())
    handles.append(queue.poll("z", later))
    await queue.publish({"n": 1})
    assert later.calls == []
    assert numbers(await queue.poll_once("z")) == [1]


@pytest.mark.gen_test
async def test_disconnect_inside(queue):
    """If a callback disconnects all clients, each resumes where it left off."""
    takers = {name: Taker() for name in "abc"}

    def callback(*events):
        takers["a"](*events)
        queue.disconnect()

    queue.poll("a", callback)
    queue.poll("b", takers["b"])
    queue.poll_once("c", takers["c"])
    await queue.publish({"n": 1})
    assert {client.listener for client in queue.clients.values()} == {None}
    assert takers["a"].calls == [[1]]
    for name in "bc":
        rest = numbers(await queue.poll_once(name, timeout=0))
        assert [n for n in takers[name].seen + rest if n] == [1]


@pytest.mark.gen_test
async def test_append_backlog_inside(queue):
    """An event that a callback appends to the backlog reaches only new clients."""
    taker = Taker()

    def callback(*events):
        if numbers(events)[-1] == 1:
            queue.append_backlog({"n": 2})

    queue.poll("a", callback)
    queue.poll("z", taker)
    await queue.publish({"n": 1})
    await queue.publish({"n": 3})
    await until(lambda: taker.seen == [1, 3])
    assert numbers(await queue.poll_once("new")) == [1, 2, 3]


@pytest.mark.gen_test
async def test_empty_publish_inside(queue):
    """An empty publish in a stream's callback does not call this callback again while it runs."""
    depth, deepest = 0, 0

    def callback(*events):
        nonlocal depth, deepest
        depth += 1
        deepest = max(deepest, depth)
        if deepest < 5:
            queue.publish()
        depth -= 1

    queue.poll("me", callback)
    await queue.publish({"n": 1})
    assert deepest == 1


@pytest.mark.gen_test
async def test_context(queue):
    """A callback runs in the context of its poll; its own polls do not belong to the publisher."""
    seen = []

    def on_new_event(*events):
        seen.extend(numbers(events))
        queue.poll_once("bot", lambda *events: on_new_event(*events))

    queue.poll_once("bot", lambda *events: on_new_event(*events))
    for n in range(3):
        publisher = FakePeer()
        token = peer.current.set(lambda publisher=publisher: publisher)
        await queue.publish({"n": n})
        peer.current.reset(token)
        assert publisher.watchers == {}
        publisher.complete()
    await until(lambda: seen == [0, 1, 2])


@pytest.mark.gen_test
async def test_context_of_a_coroutine(queue):
    """Tasks of `async def` callbacks also run in the context of their poll."""
    seen = []

    async def on_new_event(*events):
        await asyncio.sleep(0)
        seen.append(peer.of(None))

    for poll in (queue.poll, queue.poll_once):
        poll("me", on_new_event)
        publisher = FakePeer()
        token = peer.current.set(lambda publisher=publisher: publisher)
        await queue.publish({"n": 1})
        peer.current.reset(token)
        await turn()
    assert seen == [None, None]


@pytest.mark.gen_test
async def test_cancel_after_publish_inside(queue):
    """If a peer's callback publishes and cancels its own poll, its events are confirmed."""
    one = FakePeer()
    polls = []

    def method(self, *events):
        self.on_new_event(*events)
        if len(self.calls) == 2:
            queue.publish({"n": 3})
            polls[0].cancel()

    polls.append(queue.poll("me", MethodType(method, one)))
    queue.poll("other", Taker())
    await queue.publish({"n": 1})
    await queue.publish({"n": 2})
    await until(lambda: one.calls == [[1], [2]])
    assert numbers(await queue.poll_once("me")) == [3]


@pytest.mark.gen_test
async def test_cancel_after_publish_inside_the_backlog(queue):
    """If a callback gets the backlog, publishes and cancels its poll, the backlog is confirmed."""
    one = FakePeer()

    def method(self, *events):
        self.on_new_event(*events)
        queue.publish({"n": 2})
        next(iter(self.watchers)).cancel()

    queue.poll("other", Taker())
    await queue.publish({"n": 1})
    queue.poll("me", MethodType(method, one))
    await until(lambda: one.calls == [[1]])
    assert numbers(await queue.poll_once("me")) == [2]


@pytest.mark.engines("memory", "distant", "late")  # the channel may be loaded after the publish
@pytest.mark.parametrize("inside", ["publish", "flush_events"])
@pytest.mark.gen_test
async def test_no_call_inside_itself(queue, inside):
    """If a callback makes the queue call a second callback, and this one makes it call all, the
    first callback is not called while it runs, and gets no event twice.
    """
    first, second = Taker(), Taker()

    def one(*events):
        first(*events)
        if events and inside == "publish":
            queue.publish()
        elif events:
            queue.flush_events("two", {"n": 0})

    def two(*events):
        second(*events)
        if len(second.calls) == 1:
            queue.publish()

    queue.poll("one", one)
    queue.poll("two", two)
    await queue.publish({"n": 1})
    await until(lambda: second.calls and first.calls)
    await turn()
    assert first.calls == [[1]]
    assert [n for n in second.seen if n] == [1]


@pytest.mark.parametrize("inside", ["room", "both"])
@pytest.mark.gen_test
async def test_poll_inside_another_queue(queue, inside):
    """If a callback polls a queue whose listeners are called next, these still get the event."""
    queues = {"room": queue, "both": MessageQueue.instance("room", "other")}
    calls = []

    def again(*events):
        queues[inside].poll("new", Taker())

    for name, other in queues.items():
        if name != inside:
            other.poll_once("first", again)
    for name, other in queues.items():
        other.poll("stream", lambda *events, name=name: calls.append(name))
    await queue.ready()
    await turn()
    await queue.publish({"n": 1})
    await until(lambda: sorted(calls) == ["both", "room"])


@pytest.mark.parametrize("backlog", [False, True])
@pytest.mark.gen_test
async def test_disconnect_inside_and_come_back(queue, backlog):
    """If a callback disconnects all clients, the events of its call are confirmed."""
    seen = []

    def on_new_event(*events):
        seen.extend(numbers(events))
        queue.disconnect()

    if backlog:
        await queue.publish({"n": 1})
        queue.poll("me", on_new_event)
    else:
        queue.poll("me", on_new_event)
        await queue.publish({"n": 1})
    await until(lambda: seen == [1])
    await queue.publish({"n": 2})
    assert numbers(await queue.poll_once("me")) == [2]
