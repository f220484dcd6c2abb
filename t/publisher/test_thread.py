"""The thread of a publisher for Redis: each call ends, also if it fails or hangs."""

import asyncio
import logging
import threading
import time

import pytest

from tatsumaki_py import Error
from tatsumaki_py.message_queue.engine.redis import publishing
from tatsumaki_py.publisher import Publisher, over_redis


@pytest.fixture
def publisher(redis_server):
    """It has a thread. It is closed at the end."""
    with Publisher(redis_server.url) as publisher:
        publisher.publish("a", 0)
        yield publisher


def in_thread(publisher, *call):
    """Make this call in the thread of the publisher."""
    publisher._link._worker._loop.call_soon_threadsafe(*call)


def fail(*_):
    """Not even `Exception` is caught."""
    raise SystemExit


@pytest.mark.gen_test
async def test_it_fails(publisher, redis_server, monkeypatch, log_watch):
    """The calls that wait are told, and the next one starts another thread."""
    text = "the thread of the publisher has failed"
    monkeypatch.setattr(publisher._link._worker, "_publish", fail)
    with log_watch.expect("tatsumaki", text) as records:
        with pytest.raises(Error.HTTP, match=text) as caught:
            publisher.publish("a", 1)
        await publisher.apublish("a", 2)
        monkeypatch.setattr(publisher._link._worker, "_publish", fail)
        with pytest.raises(Error.HTTP, match=text):
            await publisher.apublish("a", 3)
    publisher.publish("a", 4)
    assert (caught.value.code, len(records)) == (503, 2)
    assert redis_server.ask("XLEN", "tats:{a}:s") == ":3"


@pytest.mark.gen_test
async def test_it_hangs(publisher, monkeypatch):
    """The call ends, and its events are not published later."""
    monkeypatch.setattr(publisher._link, "_patience", 0.1)
    over = threading.Event()
    in_thread(publisher, over.wait, 5)
    text = "the events were not accepted: the thread of the publisher hangs"
    for _ in range(2):
        with pytest.raises(Error.HTTP, match=text) as caught:
            publisher.publish("a", 1)
        assert caught.value.code == 503
        with pytest.raises(Error.HTTP, match=text):
            await publisher.apublish("a", 1)
    over.set()
    monkeypatch.setattr(publisher._link, "_patience", 5)
    await publisher.apublish("a", 2)


def test_close_while_it_hangs(publisher, monkeypatch):
    """That ends, too."""
    monkeypatch.setattr(over_redis, "CLOSE", 0.1)
    over = threading.Event()
    thread = publisher._link._worker._thread
    in_thread(publisher, over.wait, 5)
    publisher.close()
    over.set()
    thread.join(5)
    assert not thread.is_alive()


def test_it_cannot_begin(redis_server, monkeypatch):
    """The error is that of the call; the next call tries again."""
    before = threading.active_count()
    with Publisher(redis_server.url) as publisher:
        monkeypatch.setattr(over_redis, "Connections", None)
        with pytest.raises(TypeError, match="not callable"):
            publisher.publish("a", 1)
        monkeypatch.undo()
        publisher.publish("a", 1)
    assert threading.active_count() == before


def test_a_log_that_is_published(publisher, redis_server):
    """A line of the thread itself is not, and nothing hangs."""

    class Handler(logging.Handler):
        def emit(self, record):
            try:
                publisher.publish("log", record.getMessage())
            except RuntimeError as error:
                caught.append(str(error))

    caught = []
    log = logging.getLogger("tests.published")
    log.addHandler(Handler())
    log.propagate = False
    log.warning("here")
    in_thread(publisher, log.warning, "there")
    publisher.publish("a", 1)
    assert redis_server.ask("XLEN", "tats:{log}:s") == ":1"
    assert caught == [
        "the thread of a publisher cannot publish with it, such as in a handler of the log"
    ]


def test_cancelled(publisher):
    """A call that is cancelled leaves nothing."""

    async def main():
        calls = [asyncio.ensure_future(publisher.apublish("a", n)) for n in range(20)]
        await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        assert {type(x) for x in await asyncio.gather(*calls, return_exceptions=True)} == {
            asyncio.CancelledError
        }
        await publisher.apublish("a", 1)

    worker = publisher._link._worker
    asyncio.run(main())
    assert (worker._calls, worker.over) == (set(), False)


def test_closed_while_a_call_waits(make_redis, monkeypatch):
    """It is answered."""
    monkeypatch.setattr(publishing, "CLOSE", 0.1)
    redis = make_redis()
    publisher = Publisher(redis.url)
    publisher.publish("a", 0)
    redis.pause()
    errors = []

    def publish():
        try:
            publisher.publish("a", 1)
        except Error.HTTP as error:
            errors.append(str(error))

    thread = threading.Thread(target=publish)
    thread.start()
    time.sleep(0.05)
    publisher.close()
    thread.join(5)
    redis.resume()
    assert errors == ["the publisher was closed before Redis confirmed the events"]
