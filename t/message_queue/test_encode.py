"""A value that is not JSON is refused when it is published, and no client gets any of it."""

import sys
from datetime import datetime

import pytest
from message_queue.fakes import Taker

from tatsumaki_py import Error

circular = {}
circular["me"] = circular


def deep(levels):
    data = {}
    for _ in range(levels):
        data = {"d": data}
    return data


def deep_list(levels):
    data = []
    for _ in range(levels):
        data = [data]
    return {"d": data}


BAD = {
    "object": ({"a": object()}, TypeError),
    "set": ({"a": {1}}, TypeError),
    "bytes": ({"a": b"x"}, TypeError),
    "tuple key": ({(1, 2): 1}, TypeError),
    "nan": ({"a": float("nan")}, ValueError),
    "infinity": ({"a": [float("inf")]}, ValueError),
    "surrogate": ({"a": "\ud800"}, ValueError),
    "surrogate key": ({"\udfff": 1}, ValueError),
    "circular": (circular, ValueError),
    "nothing but an object": (object(), TypeError),
    "half of a surrogate pair": ("\udc00", ValueError),
    "nan alone": (float("nan"), ValueError),
    "many digits": (10**5000, ValueError),
}


@pytest.mark.parametrize("way", ["publish", "append_backlog", "flush_events"])
@pytest.mark.parametrize(("bad", "error"), BAD.values(), ids=BAD)
@pytest.mark.gen_test
async def test_refused_as_a_whole(queue, bad, error, way):
    """If one event is not JSON, none of the events of its call reach the log or a listener."""
    once, stream = Taker(), Taker()
    queue.poll_once("once", once)
    queue.poll("stream", stream)
    arguments = ["once"] if way == "flush_events" else []
    with pytest.raises(error, match="an event"):
        getattr(queue, way)(*arguments, {"n": 1}, bad, {"n": 3})
    await queue.publish({"n": 4})
    assert (once.calls, stream.calls) == ([[4]], [[4]])
    assert queue.backlog_events == [{"n": 4}]


FAULTS = {
    'event["when"] is of type datetime, which MessageQueue.json does not encode': {
        "n": 1,
        "when": datetime(2026, 1, 1),
    },
    'event["a"][1]["b\\n"] is of type set': {"a": [1, {"b\n": {2}}]},
    "event[0] is of type bytes": [b"x"],
    "event is of type object": object(),
    'event["a"] has a key of type tuple': {"a": {(1, 2): 3}},
    'event["a"] is nan': {"a": float("nan")},
    'event["a"] has half of a surrogate pair': {"a": "\ud800"},
    "Circular reference": circular,
}


@pytest.mark.parametrize(("line", "bad"), FAULTS.items(), ids=range(len(FAULTS)))
@pytest.mark.gen_test
async def test_the_error_names_the_field(queue, line, bad):
    """The error names the path of the first field that cannot be encoded, and the reason."""
    with pytest.raises((TypeError, ValueError)) as caught:
        queue.publish(bad)
    assert str(caught.value).startswith("an event must be JSON: ")
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.gen_test
async def test_the_error_is_short(queue):
    """For a deeply nested field, the error names only the beginning of its path."""
    bad = {1}
    for _ in range(90):
        bad = {"name": bad}
    with pytest.raises(TypeError, match=r'event\["name"\].*\.\.\. is of type set') as caught:
        queue.publish(bad)
    assert len(str(caught.value)) < 400


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.parametrize("make", [deep, deep_list])
@pytest.mark.gen_test
async def test_any_depth(queue, make):
    """A nested value of any depth is either published or raises a ValueError."""
    published = 0
    for levels in (1, 50, *range(100, sys.getrecursionlimit() + 200, 37), 100_000):
        try:
            await queue.publish(make(levels))
        except ValueError as error:
            assert "nested too deeply" in str(error)  # noqa: PT017
        else:
            published += 1
    assert 2 <= published == len(queue.backlog_events)


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_too_large(make_queue):
    """An event of more than `max_event_size` bytes of JSON raises a 413."""
    queue = make_queue(max_event_size=20)
    await queue.publish({"n": "x" * 12})
    for event in ({"n": "x" * 13}, {"n": "é" * 7}):
        with pytest.raises(Error.HTTP, match="exceeds the maximum of 20") as caught:
            queue.publish({"n": 1}, event)
        assert caught.value.code == 413
    assert queue.backlog_events == [{"n": "x" * 12}]


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_mappings_and_other_keys(queue):
    """Any mapping can be published; its keys become strings, and tuples become lists."""
    await queue.publish(type("M", (dict,), {})(a=1), {1: (2, 3), None: True})
    assert queue.backlog_events == [{"a": 1}, {"1": [2, 3], "null": True}]


@pytest.mark.gen_test
async def test_later_changes(queue):
    """If the publisher changes its object after `publish`, the event does not change."""
    data = {"n": 1, "tags": ["a"]}
    await queue.publish(data)
    data["tags"].append("b")
    data.clear()
    assert await queue.poll_once("me") == [{"n": 1, "tags": ["a"]}]


@pytest.mark.gen_test
async def test_shared(queue):
    """All listeners and the backlog share one read-only object."""
    got = []
    for id in "ab":
        queue.poll(id, got.append)
    await queue.publish({"n": 1})
    assert got[0] is got[1] is queue.backlog_events[0]
