"""An exception of the engine reaches the waiting code or the log, and nothing hangs."""

import pytest
from message_queue.fakes import FakePeer, Taker, numbers, turn
from support.answers import until
from support.delayed import Delayed

from tatsumaki_py import Error, MessageQueue
from tatsumaki_py.message_queue import State

pytestmark = pytest.mark.engines("late")


@pytest.fixture
def broken(engine):
    """The engine of this process; `failing` contains the exceptions that its methods raise."""
    return MessageQueue._registry.engine


@pytest.fixture(params=["at once", "later"])
def bug(request):
    """A value for `failing`: an exception that is raised immediately, or when awaited."""
    return ValueError if request.param == "at once" else ValueError("failed")


@pytest.mark.gen_test
async def test_publish(queue, broken, bug):
    """If the engine raises, `publish` raises the error; the next event is published."""
    taker = Taker()
    queue.poll("me", taker)
    broken.failing["publish"] = bug
    with pytest.raises(ValueError, match="failed"):
        await queue.publish({"n": 1})
    with pytest.raises(ValueError, match="failed"):
        await queue.append_backlog({"n": 1})
    broken.failing.clear()
    await queue.publish({"n": 2})
    await until(lambda: taker.calls == [[2]])


@pytest.mark.gen_test
async def test_attach(queue, broken, log_watch):
    """If `attach` raises, waiting polls fail with one log line; a later poll can succeed."""
    broken.failing["attach"] = ValueError
    once, stream = FakePeer(), FakePeer()
    with log_watch.expect("tatsumaki", "channel 'room' could not be loaded") as lines:
        queue.poll_once("once", once.answer)
        await until(lambda: once.failures)
    assert len(lines) == 1
    assert once.told == []
    with log_watch.expect("tatsumaki", "channel 'room' could not be loaded"):
        queue.poll("stream", stream.on_new_event)
        await until(lambda: stream.finished)
    lines = log_watch.expect("tatsumaki", "channel 'room' could not be loaded")
    with lines, pytest.raises(ValueError, match="attach failed"):
        await queue.ready()
    broken.failing.clear()
    await queue.publish({"n": 1})
    assert numbers(await queue.poll_once("once")) == [1]
    assert numbers(await queue.poll_once("stream")) == [1]


@pytest.mark.gen_test
async def test_the_store_is_away(queue, broken):
    """If loading fails with a 503, long polls get it, streams end, and nothing is logged."""
    broken.failing["load"] = Error.HTTP(503, "the store is away")
    once, stream = FakePeer(), FakePeer()
    queue.poll_once("once", once.answer)
    queue.poll("stream", stream.on_new_event)
    await until(lambda: once.failures and stream.finished)
    assert once.failures[0].code == 503
    assert (stream.failures, stream.told) == ([], [])
    with pytest.raises(Error.HTTP, match="the store is away"):
        await queue.poll_once("task")
    with pytest.raises(Error.HTTP, match="the store is away"):
        async for _ in queue.poll("task"):
            pass
    broken.failing.clear()
    await queue.publish({"n": 1})
    for name in ("once", "stream", "task"):
        assert numbers(await queue.poll_once(name)) == [1]


@pytest.mark.gen_test
async def test_who_listens_goes_on(queue, broken):
    """A client that was already listening stays, and gets its events once the store is back."""
    taker = Taker()
    queue.poll("me", taker)
    await queue.publish({"n": 1})
    broken.failing["load"] = Error.HTTP(503, "the store is away")
    broken.drop(broken.feeds["room"])
    with pytest.raises(Error.HTTP):
        await queue.ready()
    broken.failing.clear()
    await queue.publish({"n": 2})
    await until(lambda: taker.calls == [[1], [2]])


@pytest.mark.gen_test
async def test_history(make_queue, broken, bug, log_watch):
    """If `history` fails, the client gets a gap, and one line is logged."""
    queue = make_queue(backlog_length=1)
    ids = [(await queue.publish({"n": n}))[0] for n in range(3)]
    broken.failing["history"] = bug
    with log_watch.expect("tatsumaki", "channel 'room' could not be read") as lines:
        assert numbers(await queue.poll_once("me", last_event_id=ids[0])) == ["gap", 2]
    assert len(lines) == 1


@pytest.mark.gen_test
async def test_recall(queue, broken, bug, log_watch):
    """If `recall` fails, a named client gets a gap, as it may have missed events."""
    await queue.publish({"n": 1})
    await queue.ready()
    broken.failing["recall"] = bug
    with log_watch.expect("tatsumaki", "channel 'room' could not be read") as lines:
        assert numbers(await queue.poll_once("me")) == ["gap", 1]
    assert len(lines) == 1
    assert numbers(await queue.poll_once(None)) == [1]


@pytest.mark.gen_test
async def test_of_several_channels(make_queue, broken, log_watch):
    """With several channels, an error in one is a gap in it, and a 503 in one fails the poll."""
    a, both = make_queue("a", backlog_length=1), MessageQueue.instance("a", "b")
    await both.ready()
    start = both.cursor()
    for n in range(3):
        await a.publish({"n": n})
    MessageQueue.reset()
    MessageQueue._registry.instances.clear()
    MessageQueue._registry.merged.clear()
    MessageQueue.configure(Delayed(broken.store, settled=True))
    MessageQueue.instance("a").backlog_length = 1
    engine, both = MessageQueue._registry.engine, MessageQueue.instance("a", "b")
    engine.failing["history"] = ValueError
    with log_watch.expect("tatsumaki", "could not be read"):
        got = await both.poll_once(None, last_event_id=start)
    assert [(event.channel, event.gap) for event in got] == [("a", True), ("a", False)]
    engine.failing["history"] = Error.HTTP(503, "the store is away")
    with pytest.raises(Error.HTTP, match="the store is away"):
        await both.poll_once(None, last_event_id=start)
    engine.failing.clear()
    got = await both.poll_once(None, last_event_id=start)
    assert [event.gap for event in got] == [False, False, False]
    await engine.close()


@pytest.mark.parametrize("method", ["detach", "forget", "remember"])
@pytest.mark.gen_test
async def test_nobody_waits(queue, broken, log_watch, clock, method):
    """If a call that no code awaits fails, one line is logged, and the client still leaves."""
    broken.failing[method] = ValueError
    queue.reconnect_time = 5
    peer = FakePeer()
    with log_watch.expect("tatsumaki", f"{method} of the engine raised for channel 'room'"):
        queue.poll("me", peer.on_new_event)
        await until(lambda: queue.clients["me"].state is State.LISTENING)
        peer.leave()
        await clock.advance(6)
    assert not queue.clients
    broken.failing.clear()


@pytest.mark.gen_test
async def test_the_client_goes_meanwhile(queue, broken):
    """An error for a client that has already left is not logged."""
    ids = await queue.publish(*({"n": n} for n in range(40)))
    await queue.ready()
    assert len(queue._channel.log) == 30
    broken.failing["history"] = Error.HTTP(503, "the store is away")
    for _ in range(3):
        queue.poll(None, Taker(), last_event_id=ids[0]).cancel()
        await turn(10)
