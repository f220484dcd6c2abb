"""Every transport brings the same, in order and once."""

import re

import pytest

STREAMS = ["sse", "websocket", "ndjson", "multipart"]
TRANSPORTS = [*STREAMS, "long-poll"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_in_order(site, tab, transport):
    """What was there for a newcomer, then what is published; on one connection."""
    site.publish(1, 2, 3)
    page = tab(transports=[transport]).open(transport).has(1, 2, 3)
    ids = site.publish(4, 5, 6)
    page.has(1, 2, 3, 4, 5, 6)
    assert page.get("subscription.lastEventId") == ids[-1]
    assert page.get("events.at(-1).id") == ids[-1]
    assert page.get("gaps") == []
    site.until(lambda: site.control("listening") == 1)


def test_interval_poll(site, tab):
    """It asks every five seconds, and is no subscriber in between."""
    site.publish(1, 2)
    page = tab(transports=["interval-poll"], clock=True).open("interval-poll").has(1, 2)
    site.publish(3)
    site.until(lambda: site.control("listening") == 0)
    page.pass_time(5)
    page.has(1, 2, 3)


@pytest.mark.parametrize("transport", [*TRANSPORTS, "interval-poll"])
def test_from_the_cursor_of_the_render(site, tab, transport):
    """A page that was given a cursor gets exactly what came after it."""
    site.publish(1, 2)
    cursor = site.control("cursor")
    site.publish(3)
    tab(transports=[transport], lastEventId=cursor).has(3)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_it_knows_where_it_begins(site, tab, transport):
    """Before anything was published."""
    page = tab(transports=[transport]).until("subscription.lastEventId")
    assert page.get("subscription.lastEventId") == site.control("cursor")
    assert page.get("events") == []


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_any_text(site, tab, transport):
    """Characters of all lengths, cut anywhere on the way, and all line ends."""
    text = "\r\n \r \n \u2028 ä漢🎈 \0 <&> --" + "🎈漢ä\n" * 60_000
    page = tab(transports=[transport]).open()
    site.publish(text, "end")
    page.has(text, "end")


def test_what_comes_again_is_dropped(tab):
    """An id is handed on once, whatever the server sends; but a gap may be told again under it."""
    page = tab(transports=["long-poll"]).open()
    gap = {"type": "gap", "after": "2-0", "id": "1-0"}
    answers = [
        ("1-0", [{"n": 1}]),
        ("1-0", [gap]),
        ("3-0", [{"n": 2}, {"n": 3}]),
        ("1-0", [{"n": 1}]),
        ("3-0", [{"n": 2}, {"n": 3}]),
        ("1-0", [gap]),
        ("4-0", [{"n": 4}]),
    ]

    def answer(route):
        id, events = answers.pop(0) if answers else ("4-0", [])
        route.fulfill(json=events, headers={"Last-Event-ID": id})

    page.page.route("**/events/**", answer)
    page.get("dispatchEvent(new Event('online'))")
    page.has(1, 2, 3, 4)
    assert page.get("gaps") == [gap, gap]
    assert page.get("events.map((event) => event.id)") == ["1-0", "", "3-0", "4-0"]


def test_the_rest_is_not_forced_on_who_closes(site, tab):
    """An answer brings three, and the page closes at the first."""
    site.publish(1, 2, 3)
    page = tab(transports=["long-poll"], closeAt=1).until("subscription.state === 'closed'")
    assert page.numbers() == [1]
    assert page.get("subscription.lastEventId") == ""


@pytest.mark.parametrize("transport", ["sse", "ndjson", "multipart"])
def test_messages_without_an_id_come_too(site, tab, transport):
    """Before and after events, by each transport; they move no cursor."""
    page = tab("/own/{}", transports=[transport]).open()
    ids = site.publish(1, 2)
    page.until("events.length === 8")
    some = [{"no": 1}, {"n": 1}, {"no": 2}, {"no": 3}]
    assert page.get("events.map((event) => event.data)") == [*some, *some[:1], {"n": 2}, *some[2:]]
    assert page.get("events.flatMap((event) => event.id || [])") == ids
    assert page.get("subscription.lastEventId") == ids[-1]


@pytest.mark.parametrize("transport", ["sse", "ndjson"])
def test_a_place_moves_no_cursor_back(tab, page_errors, transport):
    """A heartbeat may say no place, and a place that is behind the cursor changes nothing."""
    page_errors.allow("ERR_")
    page = tab("/places", transports=[transport]).until("events.length === 2")
    assert page.get("events.map((event) => event.data)") == [{"n": 1}, "end"]
    assert page.get("subscription.lastEventId") == "2-0"


def test_what_is_not_json_comes_as_text(tab, page_errors):
    """A stream of somebody's own, without ids."""
    page_errors.allow("ERR_")  # the server goes first, and has no word for that in such a stream
    page = tab("/plain", transports=["sse"]).until("events.length === 2")
    assert page.get("events.map((event) => event.data)") == ["one", "two"]
    assert page.get("subscription.lastEventId") == ""


def test_parts_are_read_however_they_are_cut(tab, page_errors):
    """One byte at a time, and none before its closing boundary is there."""
    page_errors.allow("ERR_")
    page = tab("/bytes", transports=["multipart"]).until("events.length === 2")
    page.page.wait_for_timeout(200)
    assert page.numbers() == ["ä\n--B\n漢🎈", 2]
    assert page.get("events.map((event) => event.id)") == ["1-0", ""]
    assert page.get("subscription.lastEventId") == "1-0"


@pytest.mark.parametrize("transport", [*TRANSPORTS, "interval-poll"])
def test_several_channels(site, tab, transport):
    """Each event says its channel, however it comes, and whatever it looks like."""
    names = [f"{site.channel}a", f"{site.channel}b"]
    for number, name in enumerate(names):
        site.publish(number, channel=name)
    page = tab("/events", transports=[transport], channels=names).open()
    page.until("events.length === 2")
    found = page.get("events.map((event) => [event.channel, event.data.n])")
    assert sorted(found) == [[names[0], 0], [names[1], 1]]
    cursor = page.get("subscription.lastEventId")
    event = {"channel": "b", "data": 0}
    site.publish(event, channel=names[0])
    again = tab("/events", transports=[transport], channels=names, lastEventId=cursor)
    again.until("events.length === 1")
    assert again.get("[events[0].channel, events[0].data.n]") == [names[0], event]


def test_headers(site, tab):
    """They go with each request; what cannot send them is refused, and not used."""
    page = tab(headers={"X-Who": "ann"})
    with page.page.expect_request("**/events/**") as request:
        page.get("subscription.transport = 'multipart'")
    assert request.value.headers["x-who"] == "ann"
    page.open("multipart")
    site.publish(1)
    page.has(1)


@pytest.mark.parametrize("transport", ["sse", "websocket", "pigeon"])
def test_what_cannot_be_used(tab, transport):
    """It is refused at once; sse and websocket only if there are headers to send."""
    page = tab(headers={"X-Who": "ann"}).open("ndjson")
    error = page.page.evaluate(
        "name => { try { subscription.transport = name } catch (error) { return error.name } }",
        transport,
    )
    assert error == "TypeError"
    assert page.get("subscription.transport") == "ndjson"


def test_it_is_one_client_for_the_server(site, tab):
    """It keeps the name that the page gave it, or one of its own, whatever its connections."""
    for options in ({}, {"clientId": "ann"}):
        page = tab(transports=["long-poll"], lastEventId="", **options).open()
        names = []
        page.page.on("request", lambda request, names=names: names.append(request.url))
        for number in range(3):
            site.publish(number)
            page.until(f"events.at(-1)?.data.n === {number}")
        page.get("subscription.transport = 'ndjson'")
        page.open("ndjson")
        names = [re.search("client_id=([^&]+)", url)[1] for url in names]
        assert len(names) >= 3
        assert len(set(names)) == 1
        assert names[0] in site.control("clients")
    assert names[0] == "ann"
