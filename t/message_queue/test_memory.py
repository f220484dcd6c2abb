"""All kept data is counted, so that no client's input takes much more memory than allowed."""

import gc
import tracemalloc

import pytest

from tatsumaki_py import MessageQueue
from tatsumaki_py.message_queue import event
from tatsumaki_py.push.framing import Option
from tatsumaki_py.push.framing.json_lines import JSONLines
from tatsumaki_py.push.framing.multipart import Multipart
from tatsumaki_py.push.framing.server_sent_events import ServerSentEvents
from tatsumaki_py.push.framing.websocket import WebSocket

FRAMINGS = {
    kind.of(chunked | option)
    for kind in (ServerSentEvents, JSONLines, Multipart, WebSocket)
    for chunked in (Option.CHUNKED, Option.NONE)
    for option in (*Option, Option.NONE)
}
MIB = 1024 * 1024


def nothing(*events):
    pass


def grown(function):
    """The number of bytes that `function` allocates and does not free."""
    gc.collect()
    tracemalloc.start()
    try:
        function()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (b'{"a":[' + b"[]," * 20_000 + b"[]]}", 12),
        (b'{"a":[' + b"0," * 50_000 + b"0]}", 12),
        (b'{"a":"' + b"x" * 300_000 + b'"}', 12),
        (b"{}", 4000),
        (b'{"text":"hello"}', 4000),
    ],
)
@pytest.mark.engines("memory")  # the test measures the memory of this engine
@pytest.mark.gen_test
async def test_events(make_queue, body, count):
    """Events of any content stay within the counted size after every framing has encoded them."""
    queue = make_queue(backlog_length=count, buffer_length=count, max_event_size=MIB)

    def publish():
        for _ in range(count):
            queue.publish_json(body)
        for entry in queue._channel.log.newest(count):
            for frames in FRAMINGS:
                frames.frame(entry)
        assert len(queue.backlog_events) == count

    held = grown(publish)
    assert held < 1.1 * MessageQueue._registry.size + event.RECENT_FRAMES + 3 * event.RECENT_EVENTS


@pytest.mark.parametrize(("count", "batch"), [(1000, 1), (50, 1000)])
@pytest.mark.gen_test
async def test_idempotency_keys(make_queue, count, batch):
    """An idempotency key and its ids are counted."""
    queue = make_queue(backlog_length=1, recovery_time=0)

    def publish():
        for number in range(count):
            queue.publish(*[{"n": 1}] * batch, idempotency_key=f"{number:0255}")

    held = grown(publish)
    assert held < 1.1 * MessageQueue._registry.size + event.RECENT_EVENTS
    assert MessageQueue._registry.size < count * (2048 + batch * 40)


@pytest.mark.engines("memory")  # the test measures the memory of this engine
@pytest.mark.gen_test
async def test_keys_are_bounded_by_their_size(make_queue):
    """Beyond `buffer_size` bytes of keys, the oldest keys are forgotten."""
    queue = make_queue(buffer_size=100_000)
    for number in range(50):
        queue.publish(*[{"n": 1}] * 100, idempotency_key=str(number))
    assert 50_000 <= queue._channel.beside <= 100_000
    first = await queue.publish(*[{"n": 1}] * 100, idempotency_key="49")
    assert first[-1] == queue.cursor()


@pytest.mark.gen_test
async def test_keys_make_room(monkeypatch, make_queue):
    """If all channels hold too much, idempotency keys of channels without readers are forgotten."""
    monkeypatch.setattr(MessageQueue, "max_size", 200_000)
    for number in range(20):
        make_queue(str(number)).publish(*[{}] * 500, idempotency_key="key")
    assert MessageQueue._registry.size < 200_000 + 500 * 600


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_an_event_that_is_held(queue):
    """`backlog_events` returns the same object for an event as long as the program holds it."""
    await queue.publish({"n": 0})
    (held,) = queue.backlog_events
    for number in range(1, 10):
        await queue.publish({"n": number, "list": [0] * 20_000})
        assert len(queue.backlog_events) == number + 1
    assert queue.backlog_events[0] is held
    assert held == {"n": 0}
