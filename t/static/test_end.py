"""When a channel ends, the page gets all events, `onEnd` is called once, and no request follows."""

import pytest

TRANSPORTS = ["sse", "websocket", "ndjson", "multipart", "long-poll", "interval-poll"]


@pytest.fixture(autouse=True)
def announced(page_errors):
    """Chromium logs an error when an EventSource is answered with 204."""
    page_errors.allow("204")


def stays_away(site, page):
    """Fails if the page sends another request after a retry, a switch or a wake-up."""
    asked = len(site.control("asked"))
    page.get("subscription.retry(); dispatchEvent(new Event('online'))")
    page.get("subscription.transport = 'ndjson'")
    page.go_away()
    page.come_back()
    page.page.wait_for_timeout(100)
    assert len(site.control("asked")) == asked
    assert page.get("[subscription.state, states.at(-1), ends]") == ["ended", "ended", 1]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_each_transport(site, tab, transport):
    """A page ends with the channel: while connected, with the end's cursor, and as a new page."""
    live = transport != "interval-poll"
    page = tab(transports=[transport]).open(transport)
    if live:
        site.publish(1)
        page.has(1)
    else:
        site.publish(1)
        page.get("dispatchEvent(new Event('online'))")
    (end,) = site.control("end")
    if not live:
        page.has(1).get("dispatchEvent(new Event('online'))")
    page.until("subscription.state === 'ended'").has(1)
    assert page.get("subscription.lastEventId") == end
    stays_away(site, page)

    count = len(site.control("asked"))
    page.get("Object.assign(window, { events: [], ends: 0 })")
    page.subscribe(f"/events/{site.channel}", transports=[transport], lastEventId=end)
    page.until("subscription.state === 'ended'")
    assert page.get("[events.length, ends, details.error]") == [0, 1, None]
    assert len(site.control("asked")) <= count + 2  # an EventSource does not say why it failed

    page.get("ends = 0")
    page.subscribe(f"/events/{site.channel}", transports=[transport])
    page.until("subscription.state === 'ended'").has(1)
    stays_away(site, page)


def test_a_bare_event_source(site, tab):
    """An EventSource gets the events and the end, reconnects once, and stops."""
    site.publish(1)
    site.control("end")
    page = tab("/events/other", shared=False)
    page.get(
        f"""window.source = new EventSource('/events/{site.channel}'),
        window.heard = [], source.onmessage = ({{ data }}) => heard.push(data),
        source.addEventListener('end', ({{ data }}) => heard.push(data)), null"""
    )
    page.until("source.readyState === EventSource.CLOSED")
    assert page.get("heard") == ['{"n": 1}', '{"type":"end"}']
    assert [bool(cursor) for _, cursor in site.control("asked")] == [False, True]


def test_one_that_is_continued(site, tab):
    """An end does not count if events follow it; the next end does."""
    site.publish(1)
    site.control("end")
    site.publish(2)
    page = tab(transports=["ndjson"]).open().has(1, 2)
    assert page.get("[ends, subscription.state]") == [0, "open"]
    site.control("end")
    page.until("ends === 1").has(1, 2)


@pytest.mark.parametrize("transport", ["sse", "websocket", "long-poll"])
def test_several_channels(site, tab, transport):
    """A page gets the end of each channel; `onEnd` is called when both channels have ended."""
    other = f"{site.channel}b"
    page = tab("/events", transports=[transport], channels=[site.channel, other]).open()
    site.control("end")
    page.until("events.length === 1")
    site.publish(2, channel=other)
    page.until("events.length === 2")
    assert page.get("[ends, subscription.state]") == [0, "open"]
    site._open(f"control/end/{other}")
    page.until("subscription.state === 'ended'")
    told = page.get("events.map(({ data, channel }) => [channel, data])")
    end = {"type": "end"}
    assert told == [[site.channel, end], [other, {"n": 2}], [other, end]]
    assert page.get("ends") == 1


def test_tabs(site, tab):
    """Each tab gets the end, even one that is behind and one that is opened after the end."""
    (cursor,) = site.publish(1)
    first = tab().open().has(1)
    tabs = [first, tab(beside=first).open()]
    site.publish(2)
    late = tab(beside=first, lastEventId=cursor)
    site.control("end")
    later = tab(beside=first)
    for page, numbers in zip([*tabs, late, later], [(1, 2), (1, 2), (2,), (1, 2)], strict=True):
        page.until("ends === 1").has(*numbers)
        stays_away(site, page)
    assert site.control("listening") == 0
