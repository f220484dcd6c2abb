"""Every transport delivers the same events, in order and once."""

import re

import pytest

STREAMS = ["sse", "websocket", "ndjson", "multipart"]
TRANSPORTS = [*STREAMS, "long-poll"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_in_order(site, tab, transport):
    """A new page gets the backlog, then new events, in order and on one connection."""
    site.publish(1, 2, 3)
    page = tab(transports=[transport]).open(transport).has(1, 2, 3)
    ids = site.publish(4, 5, 6)
    page.has(1, 2, 3, 4, 5, 6)
    assert page.get("subscription.lastEventId") == ids[-1]
    assert page.get("events.at(-1).id") == ids[-1]
    assert page.get("gaps") == []
    site.until(lambda: site.control("listening") == 1)


def test_interval_poll(site, tab):
    """With interval polls, a page polls every five seconds, and does not listen in between."""
    site.publish(1, 2)
    page = tab(transports=["interval-poll"], clock=True).open("interval-poll").has(1, 2)
    site.publish(3)
    site.until(lambda: site.control("listening") == 0)
    page.pass_time(5)
    page.has(1, 2, 3)


@pytest.mark.parametrize("transport", [*TRANSPORTS, "interval-poll"])
def test_from_the_cursor_of_the_render(site, tab, transport):
    """A page with a cursor gets exactly the events after the cursor."""
    site.publish(1, 2)
    cursor = site.control("cursor")
    site.publish(3)
    tab(transports=[transport], lastEventId=cursor).has(3)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_it_knows_where_it_begins(site, tab, transport):
    """A page gets the cursor of a channel in which no event has been published."""
    page = tab(transports=[transport]).until("subscription.lastEventId")
    assert page.get("subscription.lastEventId") == site.control("cursor")
    assert page.get("events") == []


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_any_text(site, tab, transport):
    """A long text arrives unchanged, with all line ends and characters of up to four bytes."""
    text = "\r\n \r \n \u2028 ä漢🎈 \0 <&> --" + "🎈漢ä\n" * 60_000
    page = tab(transports=[transport]).open()
    site.publish(text, "end")
    page.has(text, "end")


def test_what_comes_again_is_dropped(tab):
    """Events with a known id are dropped; a gap with a known id is passed on again."""
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
    """A page that closes the subscription in `onEvent` does not get the rest of the answer."""
    site.publish(1, 2, 3)
    page = tab(transports=["long-poll"], closeAt=1).until("subscription.state === 'closed'")
    assert page.numbers() == [1]
    assert page.get("subscription.lastEventId") == ""


@pytest.mark.parametrize("transport", ["sse", "ndjson", "multipart"])
def test_messages_without_an_id_come_too(site, tab, transport):
    """Messages without an id reach the page in order, and do not move the cursor."""
    page = tab("/own/{}", transports=[transport]).open()
    ids = site.publish(1, 2)
    page.until("events.length === 8")
    some = [{"no": 1}, {"n": 1}, {"no": 2}, {"no": 3}]
    assert page.get("events.map((event) => event.data)") == [*some, *some[:1], {"n": 2}, *some[2:]]
    assert page.get("events.flatMap((event) => event.id || [])") == ids
    assert page.get("subscription.lastEventId") == ids[-1]


@pytest.mark.parametrize("transport", ["sse", "ndjson"])
def test_a_place_moves_no_cursor_back(tab, page_errors, transport):
    """A message with an empty or an older cursor does not move the page's cursor."""
    page_errors.allow("ERR_")
    page = tab("/places", transports=[transport]).until("events.length === 2")
    assert page.get("events.map((event) => event.data)") == [{"n": 1}, "end"]
    assert page.get("subscription.lastEventId") == "2-0"


def test_what_is_not_json_comes_as_text(tab, page_errors):
    """Messages of a custom stream that are not JSON reach the page as text."""
    page_errors.allow("ERR_")  # the server stops first, and cuts the stream
    page = tab("/plain", transports=["sse"]).until("events.length === 2")
    assert page.get("events.map((event) => event.data)") == ["one", "two"]
    assert page.get("subscription.lastEventId") == ""


def test_parts_are_read_however_they_are_cut(tab, page_errors):
    """Parts that arrive byte by byte are read, each only when its closing boundary is complete."""
    page_errors.allow("ERR_")
    page = tab("/bytes", transports=["multipart"]).until("events.length === 2")
    page.page.wait_for_timeout(200)
    assert page.numbers() == ["ä\n--B\n漢🎈", 2]
    assert page.get("events.map((event) => event.id)") == ["1-0", ""]
    assert page.get("subscription.lastEventId") == "1-0"


@pytest.mark.parametrize("transport", [*TRANSPORTS, "interval-poll"])
def test_several_channels(site, tab, transport):
    """Each event of several channels reaches the page with its channel, whatever its value."""
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
    """Requests contain the headers of the option `headers`."""
    page = tab(headers={"X-Who": "ann"})
    with page.page.expect_request("**/events/**") as request:
        page.get("subscription.transport = 'multipart'")
    assert request.value.headers["x-who"] == "ann"
    page.open("multipart")
    site.publish(1)
    page.has(1)


@pytest.mark.parametrize("transport", ["sse", "websocket", "pigeon"])
def test_what_cannot_be_used(tab, transport):
    """With headers, an unknown transport and one that cannot send them raise a TypeError."""
    page = tab(headers={"X-Who": "ann"}).open("ndjson")
    error = page.page.evaluate(
        "name => { try { subscription.transport = name } catch (error) { return error.name } }",
        transport,
    )
    assert error == "TypeError"
    assert page.get("subscription.transport") == "ndjson"


def test_it_is_one_client_for_the_server(site, tab):
    """A page uses one client id for all requests: the one given in `clientId`, or a random one."""
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
