"""A channel that ends: the page has all of it, is told once, and does not come back."""

import pytest

TRANSPORTS = ["sse", "websocket", "ndjson", "multipart", "long-poll", "interval-poll"]


@pytest.fixture(autouse=True)
def announced(page_errors):
    """Chromium calls an answer without content to an EventSource an error."""
    page_errors.allow("204")


def stays_away(site, page):
    """Whatever happens, the page asks for nothing more."""
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
    """While the page is connected; when it comes with what it has, and when it comes anew."""
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
    """It is sent the rest and the end, comes back once, and stops."""
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
    """An end that is not the newest event is not the end."""
    site.publish(1)
    site.control("end")
    site.publish(2)
    page = tab(transports=["ndjson"]).open().has(1, 2)
    assert page.get("[ends, subscription.state]") == [0, "open"]
    site.control("end")
    page.until("ends === 1").has(1, 2)


@pytest.mark.parametrize("transport", ["sse", "websocket", "long-poll"])
def test_several_channels(site, tab, transport):
    """The page is told of the end of each; the others go on."""
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
    """Each is told, also one that lags behind and one that comes later."""
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
