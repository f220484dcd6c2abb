"""Events are read-only and equal exactly what was published."""

import copy
import json
import pickle

import pytest

from tatsumaki_py.message_queue.event import Entry, Event, encode

DATA = {"a": 1, "tags": ["x", {"deep": [1, 2]}], "d": {"k": "v"}}

CHANGES = {
    "set": lambda e: e.__setitem__("a", 2),
    "del": lambda e: e.__delitem__("a"),
    "ior": lambda e: e.__ior__({"a": 2}),
    "clear": lambda e: e.clear(),
    "pop": lambda e: e.pop("a"),
    "popitem": lambda e: e.popitem(),
    "setdefault": lambda e: e.setdefault("b", 2),
    "update": lambda e: e.update(a=2),
    "nested set": lambda e: e["d"].__setitem__("k", 2),
    "nested update": lambda e: e["tags"][1].update(deep=2),
    "list set": lambda e: e["tags"].__setitem__(0, 2),
    "list del": lambda e: e["tags"].__delitem__(0),
    "list iadd": lambda e: e["tags"].__iadd__([2]),
    "list imul": lambda e: e["tags"].__imul__(2),
    "append": lambda e: e["tags"].append(2),
    "extend": lambda e: e["tags"].extend([2]),
    "insert": lambda e: e["tags"].insert(0, 2),
    "list pop": lambda e: e["tags"].pop(),
    "remove": lambda e: e["tags"].remove("x"),
    "reverse": lambda e: e["tags"].reverse(),
    "sort": lambda e: e["tags"][1]["deep"].sort(),
    "list clear": lambda e: e["tags"].clear(),
}


@pytest.fixture
def event():
    return Event(encode(DATA), "5-0", "4-0")


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_read_only(event, change):
    """Changing an event or a value in it raises an error that says what to do instead."""
    with pytest.raises(TypeError, match=r"read-only.*dict\(event"):
        change(event)
    assert event == DATA


def test_copies_are_private(event):
    """`deepcopy`, `pickle` and `dict(event, x=1)` make plain objects that can be changed."""
    for clone in (copy.deepcopy(event), pickle.loads(pickle.dumps(event))):
        assert type(clone) is dict
        assert clone == DATA
        clone["tags"][1]["deep"].append(3)
        clone["d"]["new"] = 1
    mine = dict(event, mine=1)
    assert (type(mine), mine) == (dict, {**DATA, "mine": 1})
    assert event == DATA


def test_json_is_what_was_published(event):
    """`event.json` is compact UTF-8 with keys in order; `json.dumps` also encodes an event."""
    assert event.json == b'{"a":1,"tags":["x",{"deep":[1,2]}],"d":{"k":"v"}}'
    assert json.loads(json.dumps(event)) == DATA
    assert encode({"é": "☃😀", "\0": "</script>\u2028"}) == (
        '{"é":"☃😀","\\u0000":"</script>\u2028"}'.encode()
    )


def test_gap():
    """A gap contains the lost cursor and the id from which the client continues."""
    gap = Entry.loss('1-0"', "7-0").event()
    assert (dict(gap), gap.gap, gap.id) == (
        {"type": "gap", "after": '1-0"', "id": "7-0"},
        True,
        "7-0",
    )
    assert not Event(encode({"type": "gap"}), "8-0").gap
