"""When a connection ends, the page reconnects automatically and gets each event once."""

import pytest
from support.browser import GONE

TRANSPORTS = ["sse", "websocket", "ndjson", "multipart", "long-poll"]


@pytest.fixture(autouse=True)
def announced(page_errors):
    page_errors.allow(GONE)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_cut_connection(site, tab, transport):
    """A page whose connection is cut twice while events are published gets each event once."""
    page = tab(transports=[transport]).open()
    site.control("start")
    for _ in range(2):
        count = page.get("events.length")
        site.control("cut")
        page.until(f"events.length > {count + 20}").open()
    count = site.control("stop")
    page.until(f"events.at(-1).data.n === {count}")
    assert page.numbers() == list(range(1, count + 1))
    assert page.get("gaps") == []


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_network_comes_back(site, tab, transport):
    """When the network is back, the page connects again and gets the event that it missed."""
    page = tab(transports=[transport]).open()
    site.publish(1)
    page.has(1)
    page.page.context.set_offline(True)
    page.until("subscription.state !== 'open'")
    site.publish(2)
    page.page.context.set_offline(False)
    page.open().has(1, 2)


def test_a_long_sleep_makes_it_doubt(site, tab):
    """A page that was hidden for 31 s replaces its connection; after 29 s, it keeps it."""
    page = tab(clock=True).open("sse")

    def streams():
        return [name for name, _ in site.control("asked")].count("sse")

    for seconds in (2, 29, 31):
        assert streams() == 1
        page.show(False)
        page.pass_time(*[seconds / 4] * 4)
        page.show(True)
        page.page.wait_for_timeout(100)
    site.until(lambda: streams() == 2)
    page.open("sse")


def test_a_page_that_is_put_away(site, tab):
    """A page in the back/forward cache has no connection, and resumes when it is shown again."""
    page = tab().open()
    site.publish(1)
    page.has(1)
    page.go_away()
    site.until(lambda: site.control("listening") == 0)
    site.publish(2)
    page.come_back()
    page.has(1, 2)


def test_away_and_back_at_once(site, tab):
    """A page that is put away and immediately shown again has one connection."""
    page = tab(shared=False).open()
    page.get(
        """for (const type of ["pagehide", "pageshow"])
            dispatchEvent(new PageTransitionEvent(type, { persisted: true }))"""
    )
    page.until("states.at(-2) === 'connecting' && states.at(-1) === 'open'")
    page.page.wait_for_timeout(200)
    site.until(lambda: site.control("listening") == 1)


def test_close(site, tab):
    """After `close`, a page that comes online or changes its transport does not connect."""
    page = tab().open()
    page.get("subscription.close()")
    site.until(lambda: site.control("listening") == 0)
    page.get("dispatchEvent(new Event('online')); subscription.transport = 'ndjson'")
    page.page.wait_for_timeout(100)
    assert page.get("[subscription.state, states.at(-1), details.error]") == ["closed"] * 2 + [None]
    site.until(lambda: site.control("listening") == 0)


@pytest.mark.parametrize("transport", ["sse", "ndjson"])
def test_the_first_retry_comes_at_once(site, tab, transport):
    """The page retries within a second at first, backing off to between 7.5 and 15 seconds."""
    page = tab(transports=[transport], clock=True).open()
    site.publish(1)
    page.has(1)
    page.page.context.set_offline(True)
    site.control("cut")
    for shortest, longest in ((0, 1), (1, 2), (2, 4), (4, 8), (7.5, 15)):
        page.until("subscription.state !== 'open' && details.until > Date.now()")
        wait = page.get("(details.until - Date.now()) / 1000")
        assert shortest <= wait <= longest
        page.pass_time(wait)


@pytest.mark.parametrize("transport", ["sse", "ndjson", "long-poll"])
def test_a_server_that_says_when(tab, transport):
    """A page waits for the delay that ends a stream, or that a long poll's answer contains."""
    page = tab("/leaving", transports=[transport], clock=True)
    page.until("subscription.state === 'waiting'")
    assert 9 <= page.get("(details.until - Date.now()) / 1000") <= 10
