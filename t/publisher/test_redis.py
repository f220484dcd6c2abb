"""Publishing through Redis."""

import asyncio
import gc
import os
import threading
import time

import pytest

from tatsumaki_py import Error, MessageQueue
from tatsumaki_py.publisher import Publisher


@pytest.fixture
def make_publisher():
    """`publisher = make_publisher(url)` makes a publisher that is closed at the end."""
    made = []

    def make(url, **options):
        made.append(Publisher(url, **options))
        return made[-1]

    yield make
    for publisher in made:
        publisher.close()


@pytest.mark.gen_test
async def test_subscribers_get_it(redis_server, make_publisher):
    """A client of a server gets the events of one call together, and then the end."""
    MessageQueue.configure(redis_server.url)
    mq = MessageQueue.instance("a}b/ü")
    await mq.ready()
    poll = mq.poll_once("me")
    publisher = make_publisher(redis_server.url)
    ids = await publisher.apublish("a}b/ü", {"text": "Grüße"}, [1], None)
    events = await poll
    assert events == [{"text": "Grüße"}, [1], None]
    assert [event.id for event in events[:2]] == ids[:2]
    poll = mq.poll_once("me")
    (end,) = await publisher.aend("a}b/ü")
    assert [event.id for event in await poll if event.end] == [end]
    assert mq.ended
    await MessageQueue._registry.engine.close()


@pytest.mark.gen_test
async def test_settings_of_the_server(redis_server, make_publisher):
    """A publisher, which has no settings, trims a channel's log as the server's settings say."""
    MessageQueue.configure(redis_server.url)
    mq = MessageQueue.instance("set")
    mq.buffer_length = 3
    await mq.publish(0)
    publisher = make_publisher(redis_server.url)
    await publisher.apublish("set", *range(10))
    assert redis_server.ask("XLEN", "tats:{set}:s") == ":3"
    await publisher.apublish("other", *range(10))
    assert redis_server.ask("XLEN", "tats:{other}:s") == ":10"
    await MessageQueue._registry.engine.close()


def test_idempotency(redis_server, make_publisher):
    """A repeated call with an idempotency key returns the same ids; other events raise a 422."""
    ids = [make_publisher(redis_server.url).publish("a", 1, idempotency_key="k") for _ in range(2)]
    assert ids[0] == ids[1]
    with pytest.raises(Error.HTTP, match="something else was published") as caught:
        make_publisher(redis_server.url).publish("a", 2, idempotency_key="k")
    assert caught.value.code == 422


def test_key(redis_server, make_publisher):
    """Redis keeps the last event of each key that a publisher uses."""
    publisher = make_publisher(redis_server.url)
    for n, key in enumerate("aba"):
        publisher.publish("a", n, n, key=key)
    publisher.publish("a", 9)
    assert redis_server.ask("XLEN", "tats:{a}:l") == ":2"
    assert redis_server.ask("XLEN", "tats:{a}:s") == ":7"


def test_away(make_redis, make_publisher):
    """While Redis is away, a call fails after `publish_timeout`; later calls work again."""
    redis = make_redis()
    publisher = make_publisher(redis.url, publish_timeout=0.3)
    publisher.publish("a", 1)
    redis.kill()
    begin = time.monotonic()
    text = "Redis did not confirm the events within 0.3 s: .*Connect call failed"
    with pytest.raises(Error.HTTP, match=text) as caught:
        publisher.publish("a", 2)
    assert 0.3 <= time.monotonic() - begin < 2
    assert caught.value.code == 503
    redis.start()
    publisher.publish("a", 3)
    assert redis.ask("XLEN", "tats:{a}:s") == ":1"


def test_no_tls(redis_server, make_publisher):
    """If TLS gets no answer, the error says so."""
    url = redis_server.url.replace("redis:", "rediss:")
    late = r"\(over TLS\) did not answer within 0.2 s$"
    text = f"the events were not accepted within 0.6 s: .* {late}"
    with pytest.raises(Error.HTTP, match=text):
        make_publisher(url, publish_timeout=0.6).publish("a", 1)


def test_refused(redis_server, make_publisher, log_watch):
    """An error from Redis is part of the exception's text, and is logged."""
    redis_server.ask("SET", "tats:{a}:s", "no stream")
    text = "^Redis refused the events: .*WRONGTYPE"
    with (
        log_watch.expect("tatsumaki", "Redis refused events of channel 'a': .*WRONGTYPE"),
        make_publisher(redis_server.url) as publisher,
        pytest.raises(Error.HTTP, match=text),
    ):
        publisher.publish("a", 1)


def test_lost_replies(redis_server, make_publisher):
    """While connections are cut again and again, each event is published once and in order."""
    publisher = make_publisher(redis_server.url)
    over = threading.Event()

    def cut():
        while not over.wait(0.005):
            redis_server.ask("CLIENT", "KILL", "TYPE", "normal")

    cutting = threading.Thread(target=cut)
    cutting.start()
    try:
        ids = [publisher.publish("cut", number)[0] for number in range(100)]
    finally:
        over.set()
        cutting.join()
    stored = redis_server.ask("XRANGE", "tats:{cut}:s", "-", "+").split("\r\n")
    assert [line for line in stored if line in ids] == ids
    assert redis_server.ask("XLEN", "tats:{cut}:s") == ":100"


def test_many_at_a_time(redis_server, make_publisher):
    """Coroutines and threads share a few connections, and no event is lost."""
    publisher = make_publisher(redis_server.url)

    async def main():
        await asyncio.gather(*(publisher.apublish("many", number) for number in range(200)))

    threads = [threading.Thread(target=lambda: asyncio.run(main())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert redis_server.ask("XLEN", "tats:{many}:s") == ":800"
    assert redis_server.ask("CLIENT", "LIST").count("name=tatsumaki") <= 4
    assert "subscribe" not in redis_server.calls()


def test_close(redis_server):
    """`close` ends the thread and the connections; the publisher can be used again."""
    before = threading.active_count()
    publisher = Publisher(redis_server.url)
    for _ in range(2):
        with publisher:
            publisher.publish("a", 1)
            assert threading.active_count() == before + 1
        assert threading.active_count() == before
    assert "name=tatsumaki" not in redis_server.ask("CLIENT", "LIST")


def test_a_child_keeps_no_connection(redis_server):
    """A forked child does not keep the connections of its parent's publisher open."""
    read, write = os.pipe()
    with Publisher(redis_server.url) as publisher:
        publisher.publish("a", 1)
        child = os.fork()
        if child == 0:
            os.close(write)
            os.read(read, 1)
            os._exit(0)
        os.close(read)
        publisher.publish("a", 2)
    try:
        deadline = time.monotonic() + 5
        while "name=tatsumaki" in redis_server.ask("CLIENT", "LIST"):
            assert time.monotonic() < deadline
    finally:
        os.close(write)
        os.waitpid(child, 0)


def test_a_publisher_in_a_cycle_is_collected(redis_server):
    """The thread of a publisher in a reference cycle ends when it collects the publisher itself."""
    publisher = Publisher(redis_server.url)
    publisher.publish("a", 1)
    publisher.me = publisher
    worker = publisher._link._worker
    del publisher
    worker._loop.call_soon_threadsafe(gc.collect)
    worker._thread.join(5)
    assert (worker._thread.is_alive(), worker._loop.is_closed()) == (False, True)
