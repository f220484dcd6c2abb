"""`MessageQueue.json`: a program's own encoder for published events."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from message_queue.fakes import Taker

from tatsumaki_py import MessageQueue

WHEN = datetime(2026, 1, 2, tzinfo=UTC)


class Encoder(json.JSONEncoder):
    """A program's own encoder."""

    def default(self, value):
        if isinstance(value, datetime):
            return value.isoformat()
        if isinstance(value, Decimal):
            return str(value)
        return super().default(value)


class Fixed:
    """An encoder that returns the same text for every value."""

    def __init__(self, text):
        self.text = text

    def encode(self, value):
        return self.text


@pytest.mark.engines("memory")  # the test checks right after calling `publish`
@pytest.mark.gen_test
async def test_what_comes_is_what_the_json_says(make_queue):
    """A datetime that is published, alone or inside an object, arrives as the encoder's text."""
    queue = make_queue(json=Encoder(indent=1))
    got = []
    queue.poll("me", lambda *events: got.extend(events))
    queue.publish({"when": WHEN, "price": Decimal("1.10")}, WHEN)
    text = WHEN.isoformat()
    assert got == [{"when": text, "price": "1.10"}, text]
    assert queue.backlog_events == [{"when": text, "price": "1.10"}, text]
    assert b"\n" not in queue.backlog_events[0].json


@pytest.mark.gen_test
async def test_of_all_queues_of_a_class_and_of_one(monkeypatch):
    """`json` can be set for a subclass, for one queue, or for all queues."""

    class Dated(MessageQueue):
        json = Encoder()

    await Dated.instance("dated").publish(WHEN)
    with pytest.raises(TypeError, match="is of type datetime, which MessageQueue"):
        MessageQueue.instance("room").publish(WHEN)
    MessageQueue.instance("room").json = Encoder()
    await MessageQueue.instance("room").publish(WHEN)
    del MessageQueue.instance("room").json
    monkeypatch.setattr(MessageQueue, "json", Encoder())
    await MessageQueue.instance("other").publish(WHEN)
    for name in ("dated", "room", "other"):
        assert MessageQueue.instance(name).backlog_events == [WHEN.isoformat()]


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_its_json_is_kept(make_queue):
    """The JSON of an event is kept as the encoder wrote it, without spaces around it."""
    queue = make_queue(json=Fixed(' {"price" : 1.10}\n'))
    await queue.publish(None)
    assert queue.backlog_events[0].json == b'{"price" : 1.10}'
    assert queue.backlog_events == [{"price": 1.1}]


@pytest.mark.gen_test
async def test_what_it_cannot_encode(make_queue):
    """The error names the field that the encoder cannot encode."""
    queue = make_queue(json=Encoder())
    with pytest.raises(TypeError, match=r'event\["b"\]\[0\] is of type set, which MessageQueue'):
        queue.publish({"a": WHEN, "b": [{1}]})
    assert queue.backlog_events == []


BROKEN = {
    "bytes": (b"{}", TypeError, "must return a str, not bytes"),
    "None": (None, TypeError, "must return a str, not NoneType"),
    "no JSON": ("{'n': 1}", ValueError, "must return JSON: Expecting"),
    "nothing": ("", ValueError, "must return JSON"),
    "more": ("{} {}", ValueError, "must return JSON: Extra data"),
    "lines": ("1\n2", ValueError, "must return JSON: Extra data"),
    "nan": ('{"n":NaN}', ValueError, "must return JSON: NaN is not a number in JSON"),
    "infinity": ("1e999", ValueError, "a number is too long or too large"),
    "half": ('"\\ud800"', ValueError, "half of a surrogate pair"),
    "half as it is": ('"\ud800"', ValueError, "must return JSON"),
    "deep": ("[" * 101 + "]" * 101, ValueError, "nested more than 100 levels deep"),
    "very deep": ("[" * 100_000 + "]" * 100_000, ValueError, "nested too deeply"),
    "gap": ('{"type":"gap"}', ValueError, 'of type "gap"'),
    "twice": ('{"a":1,"a":2}', ValueError, "a name occurs twice in one object"),
}


@pytest.mark.parametrize(("text", "error", "line"), BROKEN.values(), ids=BROKEN)
@pytest.mark.gen_test
async def test_a_broken_encoder(make_queue, text, error, line):
    """If the encoder returns invalid JSON, publishing raises an error, and no client gets it."""
    queue, stream = make_queue(json=Fixed(text)), Taker()
    queue.poll("me", stream)
    for publish in (queue.publish, queue.append_backlog):
        with pytest.raises(error, match=line):
            publish({"n": 1})
    assert (stream.calls, queue.backlog_events) == ([], [])


@pytest.mark.gen_test
async def test_what_it_raises(make_queue):
    """An exception that the encoder raises is passed on unchanged."""

    class Broken:
        def encode(self, value):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        make_queue(json=Broken()).publish({"n": 1})
