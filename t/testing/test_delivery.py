"""A client may get every event once and in order, or a gap; any other delivery is reported."""

import pytest

from tatsumaki_py import MessageQueue
from tatsumaki_py.testing import Attempt, Message
from tatsumaki_py.testing.delivery import Delivery

EVENTS = ["a", "b", {"c": 3}, "d", "e"]
GAP = Message({"type": "gap", "after": "1-0", "id": "3-0"}, "3-0", gap=True)


def message(number):
    """The event with this number, starting at 0."""
    return Message(EVENTS[number], f"{number}-0")


def problem(*connections, events=EVENTS, allow_gap=True, remembers=True, named=False):
    """What is wrong if these messages arrived, on one connection after the other."""
    attempts = [
        Attempt(number, "sse", f"{number}-9", [*map(_message, items)])
        for number, items in enumerate(connections, 1)
    ]
    delivery = Delivery(events, allow_gap, remembers, named, None)
    delivery.look(attempts)
    return delivery.problem or delivery.missing


def _message(item):
    return message(item) if isinstance(item, int) else item


ON_1 = "on connection 1 (sse, new after 1-9)"
ON_2 = "on connection 2 (sse, reconnected after 2-9)"


@pytest.mark.parametrize(
    "connections",
    [
        [[0, 1, 2, 3, 4]],
        [[], [0, 1], [], [2, 3, 4]],
        [[GAP, 4]],
        [[0, GAP], [4]],
        [[0, GAP, 1, 2], [GAP, 3, 4]],
        [[0, GAP, GAP, 4]],
    ],
)
def test_what_is_promised(connections):
    assert problem(*connections) == ""


@pytest.mark.parametrize(
    ("connections", "text"),
    [
        ([[0, 1]], 'events 3 to 5 of 5 ({"c": 3}, "d", "e") are missing at the end'),
        ([[0, 1, 2], [3]], 'event 5 of 5 ("e") is missing at the end'),
        ([[0, GAP]], 'events 2 to 5 of 5 ("b", {"c": 3}, "d", "e") are missing at the end'),
        (
            [[0], [2]],
            f'event 2 of 5 ("b") is missing: after "a" with id 0-0 {ON_1}, {{"c": 3}} with id 2-0 '
            f"came {ON_2}, without a gap",
        ),
        (
            [[1]],
            f'event 1 of 5 ("a") is missing: at the beginning, "b" with id 1-0 came {ON_1}, '
            "without a gap",
        ),
        (
            [[0, 2, 1]],
            f'event 2 of 5 ("b") came out of order: after "a" with id 0-0 {ON_1}, {{"c": 3}} with '
            f"id 2-0 came {ON_1}",
        ),
        ([[0, 1, 1]], f'"b" with id 1-0 came twice {ON_1}'),
        ([[0, 1], [1]], f'"b" with id 1-0 came twice: {ON_1}, and {ON_2}'),
        ([[0, 1], [Message("b")]], f'"b" came twice: {ON_1}, and {ON_2}'),
        ([[0, GAP, 0]], f'"a" with id 0-0 came twice {ON_1}'),
        (
            [[0, Message("z", "7-7")]],
            f'after "a" with id 0-0 {ON_1}, "z" with id 7-7 came {ON_1}, but was never published',
        ),
        ([[*range(5)], [4]], f'"e" with id 4-0 came twice: {ON_1}, and {ON_2}'),
    ],
)
def test_what_is_not(connections, text):
    assert problem(*connections) == text


def test_without_gaps():
    """A test may forbid gaps."""
    assert problem([0, GAP, 4], allow_gap=False).startswith("events are lost: a gap {")


def test_clients_without_a_cursor():
    """A named client may get events again; an anonymous client may begin anywhere."""
    forgets = {"remembers": False}
    assert problem([0, 1, 2], [1, 2, 3], [4], named=True, **forgets) == ""
    assert "is missing" in problem([0, 1, 2], [4], named=True, **forgets)
    assert problem([0], [3, 4], **forgets) == ""
    assert "twice" in problem([0, 1, 1], **forgets)
    assert "twice" in problem([0, 1], [0, 0], named=True, **forgets)


def test_equal_events():
    """Equal events are distinguished by their order."""
    events = ["x", "y", "x", "x"]
    came = [Message(data) for data in events]
    assert problem(came, events=events) == ""
    assert 'event 4 of 4 ("x") is missing' in problem(came[:3], events=events)
    assert "came twice" in problem([*came, came[0]], events=events)


def test_events_of_the_queue():
    """An `Event` is also compared by its id, and a value by its JSON."""
    queue = MessageQueue.instance("room")
    queue.publish((1, 2), "text")
    events = queue.backlog_events
    assert problem([Message(event.data, event.id) for event in events], events=events) == ""
    wrong = problem([Message([1, 2], "9-9")], events=events)
    assert wrong.endswith("but was never published")
    assert events[0].id not in wrong
    assert f'("text" with id {events[1].id}) is missing' in problem(
        [Message([1, 2])], events=events
    )


def test_long_ones():
    """The report shows the beginning of a large event, and the first of many events."""
    text = problem([], events=["x" * 500, *range(9)])
    assert text.startswith('events 1 to 10 of 10 ("xxxx')
    assert text.endswith("x..., 0, 1, 2, 3, ...) are missing at the end")
    assert len(text) < 200
