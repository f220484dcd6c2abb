"""An event can be any JSON value, and a page gets exactly that value."""

import pytest
from support.json_values import same

TRANSPORTS = ["sse", "websocket", "ndjson", "multipart", "long-poll"]
VALUES = [
    "text",
    "",
    "5",
    '{"type":"gap","after":"1-0","id":"2-0"}',
    "line\r\nline\u2028",
    ["a", 1, {"b": None}],
    [],
    [{"type": "gap", "after": "1-0"}],
    {"n": 1},
    {"channel": "x", "data": None},
    {"id": "1-0"},
    {},
    5,
    0,
    -1.5,
    True,
    False,
    None,
]


@pytest.mark.parametrize("transport", [*TRANSPORTS, "interval-poll"])
def test_those_that_were_there(site, tab, transport):
    """A new page gets the values that were published before it connected, in order."""
    site.publish_values(*VALUES)
    page = tab(transports=[transport]).until(f"events.length === {len(VALUES)}")
    same(page.get("events.map((event) => event.data)"), VALUES)
    assert page.get("gaps") == []


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_those_that_come(site, tab, transport):
    """A connected page gets values that are published alone or together, and its cursor moves."""
    page = tab(transports=[transport]).open(transport)
    for count, value in enumerate(VALUES, 1):
        (id,) = site.publish_values(value)
        page.until(f"events.length === {count}")
    ids = site.publish_values(*VALUES)
    page.until(f"events.length === {2 * len(VALUES)}")
    same(page.get("events.map((event) => event.data)"), VALUES * 2)
    assert page.get(f"events[{len(VALUES) - 1}].id") == id
    assert page.get("subscription.lastEventId") == ids[-1]
    assert page.get("gaps") == []


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_of_several_channels(site, tab, transport):
    """With several channels, a page gets each value together with its channel."""
    names = [f"{site.channel}a", f"{site.channel}b"]
    page = tab("/events", transports=[transport], channels=names).open()
    for name in names:
        site.publish_values(*VALUES, channel=name)
    page.until(f"events.length === {2 * len(VALUES)}")
    expected = [[name, value] for name in names for value in VALUES]
    same(page.get("events.map((event) => [event.channel, event.data])"), expected)
    assert page.get("gaps") == []


def test_in_another_tab(site, tab):
    """The tab that has the connection passes the values on unchanged to the other tab."""
    first = tab().open()
    second = tab(beside=first).open()
    for value in VALUES:
        site.publish_values(value)
    for page in (first, second):
        page.until(f"events.length === {len(VALUES)}")
        same(page.get("events.map((event) => event.data)"), VALUES)
