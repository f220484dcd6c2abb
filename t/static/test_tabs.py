"""All tabs of a visitor share one connection."""

import urllib.request

import pytest


@pytest.fixture
def tabs(site, tab):
    """`tabs(3)` opens three tabs of one visitor, one after another; the first has the lock."""

    def open_tabs(count, **options):
        found = [tab(**options).open()]
        while len(found) < count:
            found.append(tab(beside=found[0], **options).open())
        return found

    return open_tabs


def finish(site, *tabs):
    """Stops publishing, and fails unless each tab gets each event once."""
    count = site.control("stop")
    for page in tabs:
        page.until(f"events.at(-1).data.n === {count}")
        assert page.numbers() == list(range(1, count + 1))
        assert page.get("gaps") == []


def test_one_connection(site, tabs):
    """Four tabs have one connection, and each gets the backlog and new events."""
    site.publish(1, 2)
    found = tabs(4)
    site.publish(3)
    for page in found:
        page.has(1, 2, 3)
        assert page.get("subscription.transport") == "sse"
    site.until(lambda: site.control("listening") == 1)
    assert [name for name, _ in site.control("asked")].count("sse") == 1
    assert len({page.get("subscription.lastEventId") for page in found}) == 1


def test_one_that_does_not_share(site, tab):
    """A tab with `shared: false` and a tab of another visitor have their own connections."""
    first = tab().open()
    tab(beside=first, shared=False).open()
    tab().open()
    site.until(lambda: site.control("listening") == 3)


def test_other_channels_are_not_shared(site, tab):
    """Tabs with different URLs or headers do not share a connection."""
    first = tab().open()
    second = tab("/events/{}?x=1", beside=first).open()
    third = tab(beside=first, headers={"X-Who": "ann"}).open()
    site.publish(1)
    for page in (first, second, third):
        page.has(1)
    site.until(lambda: site.control("listening") == 3)


HEADERS = [
    '{ "x-who": "%s", "X-Y": "1" }',
    '[["X-Y", "1"], ["X-Who", "%s"]]',
    'new Headers({ "X-Who": "%s", "X-Y": "1" })',
]


@pytest.mark.parametrize("headers", HEADERS)
def test_users_that_their_headers_tell_apart(site, tab, headers):
    """Tabs share a connection only if their headers are equal, whatever the order, case or form."""
    users = [headers % "ann", headers % "bob", HEADERS[0] % "ann", HEADERS[1] % "ann"]
    first = tab()
    pages = [first, *(tab(beside=first) for _ in range(3))]
    for page, options in zip(pages, users, strict=True):
        page.get("subscription.close()")
        page.get(f"subscribe('/events/{site.channel}', {{ headers: {options} }})")
        page.open("ndjson")
    site.publish(1)
    for page in pages:
        page.has(1)
    site.until(lambda: site.control("listening") == 2)


@pytest.mark.parametrize("options", [{"clientId": "ann"}, {"withCredentials": True}])
def test_clients_that_differ_do_not_share(site, tab, options):
    """Tabs that differ in their client id or `withCredentials` do not share a connection."""
    first = tab().open()
    tab(beside=first, **options).open()
    tab(beside=first, **options).open()
    site.until(lambda: site.control("listening") == 2)


def test_tabs_of_another_version_do_not_share(site, tab):
    """Tabs with different protocol versions, as after a deploy, have separate connections."""
    first = tab().open()
    source = urllib.request.urlopen(f"{site.url}tatsumaki.js").read().decode()
    other = source.replace("const PROTOCOL = 2", "const PROTOCOL = 0")
    assert other != source
    first.page.context.route(
        "**/tatsumaki.js", lambda route: route.fulfill(body=other, content_type="text/javascript")
    )
    second = tab(beside=first).open()
    site.publish(1)
    for page in (first, second):
        page.has(1)
    site.until(lambda: site.control("listening") == 2)


@pytest.mark.parametrize("how", ["close", "navigate", "unsubscribe", "put_away"])
def test_the_one_that_has_it_goes(site, tabs, how):
    """When the tab with the connection leaves, another takes over, and no event is lost."""
    found = tabs(4)
    site.control("start")
    while len(found) > 1:
        found[-1].until("events.length > 50")
        leaver = found.pop(0)
        if how == "close":
            leaver.page.close()
        elif how == "navigate":
            leaver.page.goto("about:blank")
        elif how == "unsubscribe":
            leaver.get("subscription.close()")
        else:
            leaver.go_away()
        count = found[0].get("events.length")
        for page in found:
            page.until(f"events.length > {count + 50}").open()
    finish(site, *found)
    site.until(lambda: site.control("listening") == 1)


def test_one_that_comes_late(site, tab):
    """Tabs with an older cursor, opened while events are published, get each event once."""
    first = tab().open()
    (cursor,) = site.publish(0)
    first.has(0)
    site.control("start")
    late = []
    for _ in range(3):
        first.until(f"events.length > {len(late) * 50 + 50}")
        late.append(tab(beside=first, lastEventId=cursor))
    for page in late:
        page.until("events.length > 200")
    finish(site, *late)
    site.until(lambda: site.control("listening") == 1)


def test_one_that_comes_late_when_all_is_quiet(site, tab):
    """A new tab that is behind gets the event that it lacks, though nothing is published."""
    first = tab().open()
    (cursor, _) = site.publish(1, 2)
    first.has(1, 2)
    tab(beside=first, lastEventId=cursor).has(2)


def test_one_that_knows_more(site, tab):
    """A tab with a newer cursor than the shared connection gets no event twice."""
    first = tab(transports=["interval-poll"], clock=True).open()
    site.publish(1, 2)
    second = tab(beside=first, lastEventId=site.control("cursor")).open()
    site.publish(3)
    first.pass_time(5)
    first.has(1, 2, 3)
    second.has(3)


@pytest.mark.parametrize("chosen", [0, 1])
def test_the_transport_is_changed_for_all(site, tab, tabs, chosen):
    """A change in any tab applies to all tabs; a tab that takes over keeps the transport."""
    found = tabs(3)
    site.control("start")
    for transport in ("websocket", "long-poll", "ndjson"):
        found[chosen].get(f"subscription.transport = '{transport}'")
        for page in found:
            page.open(transport)
    for page in found:
        page.until("events.length > 300")
    finish(site, *found)
    found.append(tab(beside=found[0], lastEventId=site.control("cursor")).open("ndjson"))
    for _ in range(3):
        found.pop(0).page.close()
        found[0].open("ndjson")
    site.publish("end")
    for page in found:
        page.open("ndjson").until("events.at(-1)?.data.n === 'end'")


def test_no_is_final_for_all(tab, page_errors):
    """A refusal reaches each tab."""
    page_errors.allow("403")
    first = tab("/refused/{}")
    second = tab("/refused/{}", beside=first)
    for page in (first, second):
        page.until("subscription.state === 'closed'")
        assert page.get("details.error.status") == 403


def test_one_that_is_frozen_loses_it(site, tab):
    """If the tab with the lock does not answer, another tab takes over the lock and connects."""
    first = tab().open()
    first.get("BroadcastChannel.prototype.postMessage = () => {}")
    second = tab(beside=first, clock=True)
    second.pass_time(11)
    second.open()
    site.publish(1)
    second.has(1)
    site.until(lambda: site.control("listening") == 1)


def test_without_locks(site, new_page, tab):
    """Without the Web Locks API, as with plain http, each tab has its own connection."""
    first = tab().open()
    first.page.context.add_init_script("delete Navigator.prototype.locks")
    tabs = [tab(beside=first).open() for _ in range(2)]
    assert tabs[0].get("navigator.locks") is None
    site.publish(1)
    for page in (first, *tabs):
        page.has(1)
    site.until(lambda: site.control("listening") == 3)
