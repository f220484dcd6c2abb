"""An event can be any JSON value: a subscriber gets an equal value, which also has an id."""

import copy
import json
import pickle

import pytest
from hypothesis import given
from message_queue.fakes import turn
from support.json_values import ANY

from tatsumaki_py import Event, MessageQueue
from tatsumaki_py.message_queue.event import Event as MadeEvent
from tatsumaki_py.message_queue.event import encode

VALUES = {
    "text": "caf\u00e9 \u2028\0",
    "empty text": "",
    "list": ["a", 1, {"b": [None]}],
    "empty list": [],
    "object": {"a": [1]},
    "empty object": {},
    "int": 5,
    "zero": 0,
    "large": -(2**70),
    "float": 1.5,
    "true": True,
    "false": False,
    "null": None,
}
EVENTS = ANY.filter(lambda value: not (isinstance(value, dict) and value.get("type") == "gap"))


@pytest.fixture(params=VALUES.values(), ids=VALUES)
def value(request):
    return request.param


def check(event, value, id):
    """Check that `event` equals `value` and has all attributes of an event."""
    assert event == value
    assert value == event
    assert (event != value, value != event) == (False, False)
    assert bool(event) is bool(value)
    assert isinstance(event, Event)
    assert value is None or isinstance(value, bool) or isinstance(event, type(value))
    assert (str(event), repr(event), f"{event}") == (str(value), repr(value), f"{value}")
    assert event.data == value
    assert isinstance(event.data, type(value))
    assert not isinstance(event.data, Event)
    assert (event.id, event.channel, event.gap, event.quiet) == (id, "room", False, False)
    assert json.loads(event.json) == value
    for clone in (copy.copy(event), copy.deepcopy(event), pickle.loads(pickle.dumps(event))):
        assert type(clone) is type(value)
        assert clone == value


@pytest.mark.gen_test
async def test_every_way_to_get_it(queue, value):
    """The value arrives in callbacks, with `await`, with `async for`, and in the backlog."""
    once, stream, many = [], [], queue.poll("many")
    queue.poll_once("once", lambda *events: once.extend(events))
    queue.poll("stream", lambda *events: stream.extend(events))
    (first, last) = await queue.publish(value, {"n": 1})
    await turn()
    batches = [batch async for batch in _one(many)]
    assert len(batches) == 1
    for events in (once, stream, await queue.poll_once("late"), *batches, queue.backlog_events):
        assert events == [value, {"n": 1}]
        check(events[0], value, first)
        assert (events[1].prev, events[1].id) == (first, last)


async def _one(poll):
    async for batch in poll:
        yield batch
        return


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_the_other_ways_to_publish(queue, value):
    """`append_backlog` and `flush_events` also take any JSON value."""
    await queue.append_backlog(value)
    got = []
    queue.poll("me", got.append, last_event_id=queue.cursor())
    assert queue.flush_events("me", value)
    assert got == [value] == queue.backlog_events
    assert queue.backlog_events[0].quiet


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_an_event_is_published_again(make_queue, value):
    """An event can be published again, alone or inside another value, and stays equal."""
    room, other = make_queue(), make_queue("other")
    await room.publish(value)
    (event,) = room.backlog_events
    await other.publish(event, event.data, [event], {"said": event})
    assert other.backlog_events == [value, value, [value], {"said": value}]


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_of_several_channels(make_queue, value):
    """An event from a queue of several channels equals its value and knows its channel."""
    await MessageQueue.instance("a", "b").ready()
    cursor = MessageQueue.instance("a", "b").cursor()
    make_queue("b").publish(value)
    (event,) = await MessageQueue.instance("a", "b").poll_once(None, last_event_id=cursor)
    assert (event, event.data, event.channel) == (value, value, "b")
    assert event.id == MessageQueue.instance("a", "b").cursor()
    assert json.loads(event.payload) == {"channel": "b", "data": value}
    assert json.loads(event.envelope) == {"id": event.id, "channel": "b", "data": value}


@given(EVENTS)
def test_what_is_published_is_what_comes(value):
    """An event equals the value that was published, and encodes to the same JSON."""
    event = MadeEvent(encode(value), "1-0")
    assert event == value == event.data
    assert isinstance(event.data, type(value))
    assert (json.loads(event.json), event.id) == (value, "1-0")
    assert pickle.loads(pickle.dumps(event)) == value
    assert encode(event) == encode([event])[1:-1] == event.json


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_python_says_json(queue):
    """`json.dumps` encodes any event except true, false and null; for these it encodes `data`."""
    await queue.publish(*VALUES.values())
    for event, value in zip(queue.backlog_events, VALUES.values(), strict=True):
        assert json.dumps(event.data) == json.dumps(value)
        if value is None or isinstance(value, bool):
            with pytest.raises(TypeError, match="not JSON serializable"):
                json.dumps(event)
        else:
            assert json.dumps(event) == json.dumps(value)


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_used_as_values(queue):
    """An event can be used like the str, number or list that was published."""
    await queue.publish("text", 5, 2.5, ["a", 1], True, None)
    text, five, real, items, true, null = queue.backlog_events
    assert (text.upper(), text + "!", "-".join([text, "x"])) == ("TEXT", "text!", "text-x")
    assert {text: 1, five: 2, true: 3} == {"text": 1, 5: 2, True: 3}
    assert (five + 1, [*range(five)][-1], real * 2, round(real)) == (6, 4, 5.0, 2)
    assert [*items, "b"] == items + ["b"] == ["a", 1, "b"]  # noqa: RUF005
    assert (true == True, null == None, null is None) == (True, True, False)  # noqa: E711, E712
    assert [null, true] == [None, True]
    match text, items, null.data:
        case str(), ["a", int(number)], None:
            assert number == 1
        case _:
            pytest.fail("an event is not what it looks like")


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_nobody_changes_a_list(queue):
    """A list event, its items and its `data` are read-only."""
    await queue.publish(["a", {"b": []}])
    (event,) = queue.backlog_events
    for change in (
        lambda: event.append(1),
        lambda: event.__setitem__(0, 1),
        lambda: event[1].update(b=1),
        lambda: event[1]["b"].append(1),
        lambda: event.data.append(1),
        lambda: event.data[1].update(b=1),
    ):
        with pytest.raises(TypeError, match=r"read-only.*list\(event\)"):
            change()
    assert event == event.data == ["a", {"b": []}]


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_a_list_that_tells_of_a_gap(queue):
    """Only an object can be a gap, not a list or a text that mentions one."""
    await queue.publish("gap", ["type", "gap"], [{"type": "gap"}], {"n": {"type": "gap"}})
    assert [event.gap for event in queue.backlog_events] == [False] * 4
