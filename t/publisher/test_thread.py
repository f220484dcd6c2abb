"""The thread of a publisher for Redis: each call ends, even if the thread fails or hangs."""

import asyncio
import logging
import threading
import time

import pytest

from tatsumaki_py import Error
from tatsumaki_py.message_queue.engine.redis import publishing
from tatsumaki_py.publisher import Publisher, over_redis, thread_log


@pytest.fixture
def publisher(redis_server):
    """A publisher whose thread is running; it is closed at the end."""
    with Publisher(redis_server.url) as publisher:
        publisher.publish("a", 0)
        yield publisher


def in_thread(publisher, *call):
    """Calls a function in the thread of the publisher."""
    publisher._link._worker._loop.call_soon_threadsafe(*call)


def fail(*_):
    """Raises a SystemExit, which is not an `Exception`."""
    raise SystemExit


@pytest.mark.gen_test
async def test_it_fails(publisher, redis_server, monkeypatch, log_watch):
    """If the thread fails, waiting calls raise a 503, and the next call starts a new thread."""
    text = "the thread of the publisher has failed"
    monkeypatch.setattr(publisher._link._worker, "_publish", fail)
    with log_watch.expect("tatsumaki", text) as records:
        with pytest.raises(Error.HTTP, match=text) as caught:
            publisher.publish("a", 1)
        await publisher.apublish("a", 2)
        monkeypatch.setattr(publisher._link._worker, "_publish", fail)
        with pytest.raises(Error.HTTP, match=text):
            await publisher.apublish("a", 3)
        publisher._link._log.flush()
    publisher.publish("a", 4)
    assert (caught.value.code, len(records)) == (503, 2)
    assert redis_server.ask("XLEN", "tats:{a}:s") == ":3"


@pytest.mark.gen_test
async def test_it_hangs(publisher, monkeypatch):
    """If the thread hangs, calls raise a 503."""
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
    """`close` returns even if the thread hangs, and the thread ends later."""
    monkeypatch.setattr(over_redis, "CLOSE", 0.1)
    over = threading.Event()
    thread = publisher._link._worker._thread
    in_thread(publisher, over.wait, 5)
    publisher.close()
    over.set()
    thread.join(5)
    assert not thread.is_alive()


def test_it_cannot_begin(redis_server, monkeypatch):
    """If the thread cannot begin its work, the call raises the error, and the next call retries."""
    before = threading.active_count()
    with Publisher(redis_server.url) as publisher:
        monkeypatch.setattr(over_redis, "Connections", None)
        with pytest.raises(TypeError, match="not callable"):
            publisher.publish("a", 1)
        monkeypatch.undo()
        publisher.publish("a", 1)
    assert threading.active_count() == before


def test_it_does_not_start(redis_server, monkeypatch):
    """If the thread starts too slowly, the call raises a 503, and the thread ends later."""
    over = threading.Event()
    connections = over_redis.Connections
    monkeypatch.setattr(over_redis, "START", 0.1)
    monkeypatch.setattr(over_redis, "Connections", lambda o: over.wait(5) and connections(o))
    before = threading.active_count()
    with Publisher(redis_server.url) as publisher:
        text = "the events were not accepted: the thread of the publisher hangs"
        with pytest.raises(Error.HTTP, match=text) as caught:
            publisher.publish("a", 1)
        over.set()
        publisher.publish("a", 2)
    deadline = time.monotonic() + 5
    while threading.active_count() > before:
        assert time.monotonic() < deadline
    assert (caught.value.code, redis_server.ask("XLEN", "tats:{a}:s")) == (503, ":1")


def test_its_start_is_interrupted(redis_server, monkeypatch):
    """If a signal interrupts the start of the thread, the next call uses the same thread."""
    start = over_redis._Worker.start

    def interrupted(worker):
        start(worker)
        raise KeyboardInterrupt

    before = threading.active_count()
    with Publisher(redis_server.url) as publisher:
        with monkeypatch.context() as patch:
            patch.setattr(over_redis._Worker, "start", interrupted)
            for _ in range(3):
                with pytest.raises(KeyboardInterrupt):
                    publisher.publish("a", 1)
        assert threading.active_count() == before + 1
        publisher.publish("a", 2)
    assert (threading.active_count(), redis_server.ask("XLEN", "tats:{a}:s")) == (before, ":1")


def test_its_lines(publisher, log_watch):
    """Lines of the thread are logged once, in order, even if a handler is locked for a while."""
    for name in ("tatsumaki", "asyncio"):
        with log_watch.expect(name, "line [0-4]") as records:
            with log_watch.lock:
                for number in range(5):
                    in_thread(publisher, logging.getLogger(name).warning, "line %d", number)
                publisher.publish("a", 1)
                assert records == []
            publisher._link._log.flush()
        assert [record.getMessage() for record in records] == [f"line {n}" for n in range(5)]


def test_lines_while_a_handler_blocks(publisher, log_watch, monkeypatch):
    """While a handler blocks, some lines are kept, and the number of dropped lines is logged."""
    monkeypatch.setattr(thread_log, "MOST", 10)
    monkeypatch.setattr(thread_log, "FLUSH", 0.05)
    log = publisher._link._log
    with log_watch.expect("tatsumaki", "line") as records:
        with log_watch.lock:
            for _ in range(20):
                in_thread(publisher, logging.getLogger("tatsumaki").warning, "line")
            publisher.publish("a", 1)
            publisher.close()
        log.flush()
    *lines, last = [record.getMessage() for record in records]
    assert len(lines) in (10, 11)
    assert last == f"{20 - len(lines)} log lines of a publisher's thread were dropped"


def test_a_handler_exits(publisher, log_watch, capsys):
    """If a handler raises a SystemExit, later lines are still logged."""

    class Handler(logging.Handler):
        def emit(self, record):
            raise SystemExit

    log = logging.getLogger("tatsumaki")
    handler = Handler()
    log.addHandler(handler)
    with log_watch.expect("tatsumaki", "line"):
        try:
            in_thread(publisher, log.warning, "line 1")
            publisher.publish("a", 1)
            publisher._link._log.flush()
        finally:
            log.removeHandler(handler)
        in_thread(publisher, log.warning, "line 2")
        publisher.publish("a", 1)
        publisher._link._log.flush()
    assert "SystemExit" in capsys.readouterr().err


def test_a_handler_fails(publisher, capsys):
    """If a handler raises an exception, `logging` reports it, and later lines are still logged."""

    class Handler(logging.Handler):
        def emit(self, record):
            publisher.publish("log", record.getMessage())

    log = logging.getLogger("tatsumaki")
    handler = Handler()
    log.addHandler(handler)
    log.propagate = False
    try:
        for number in range(2):
            in_thread(publisher, log.warning, "line %d", number)
        publisher.publish("a", 1)
        publisher._link._log.flush()
    finally:
        log.propagate = True
        log.removeHandler(handler)
    err = capsys.readouterr().err
    assert err.count("--- Logging error ---") == 2
    assert err.count("RuntimeError: a publisher cannot publish in its own thread") == 2
    assert "Message: 'line %d'\nArguments: (1,)" in err


def test_a_log_that_is_published(publisher, redis_server):
    """A handler can publish lines, but gets an error for lines from the publisher's thread."""

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
        "a publisher cannot publish in its own thread, for example in a logging.Handler"
    ]


def test_cancelled(publisher):
    """A call that is cancelled is forgotten, and later calls work."""

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


def test_closed_after_a_call_was_cancelled(make_redis):
    """`close` does not wait for the answer to a call that was cancelled."""
    redis = make_redis()
    publisher = Publisher(redis.url)
    publisher.publish("a", 0)
    redis.pause()
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(publisher.apublish("a", 1), 0.05))
    begin = time.monotonic()
    publisher.close()
    assert time.monotonic() - begin < 1.5
    redis.resume()


def test_closed_while_a_call_waits(make_redis, monkeypatch):
    """A call that waits for Redis raises an error when the publisher is closed."""
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
