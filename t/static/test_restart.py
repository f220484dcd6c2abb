"""A server that is restarted, and has lost all events."""

import contextlib
import signal
import threading
import time
import urllib.error

import pytest
from support.browser import GONE

TRANSPORTS = ["sse", "websocket", "ndjson", "multipart", "long-poll"]


@pytest.fixture
def program(serve_program, monkeypatch):
    """A program for each test, whose clients are told to reconnect at 6 per second."""
    monkeypatch.setenv("RETURNS", "6")
    return serve_program("t/static/program.py")


@pytest.fixture(autouse=True)
def announced(page_errors):
    page_errors.allow(GONE)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_server_that_starts_anew(site, tab, transport):
    """After a restart without the events, a page gets a gap, and continues on its transport."""
    (before,) = site.publish(1)
    page = tab(transports=[transport, "interval-poll"]).open().has(1)
    site.program.stop(signal.SIGKILL)
    page.until("subscription.state === 'waiting'")
    assert page.get("details.until >= details.at")
    site.program.start()
    page.open(transport)
    site.publish(2)
    page.has(1, 2)
    (gap,) = page.get("gaps")
    assert (gap["type"], gap["after"]) == ("gap", before)


def test_a_server_that_stops_in_order(site, tab):
    """Pages get every event that a stopping server accepts, and reconnect at different times.

    After the restart, the gap begins after the last event of the page.
    """
    streams = [tab(transports=[transport]).open() for transport in ("sse", "websocket", "ndjson")]
    poll = tab(transports=["long-poll"]).open()
    accepted = []

    def publish():
        with contextlib.suppress(urllib.error.URLError):
            while True:
                accepted.extend(site.publish(len(accepted) + 1))

    publishing = threading.Thread(target=publish)
    publishing.start()
    poll.until("events.length > 10")
    stopped = time.time()
    site.program.stop()
    publishing.join()
    waits = []
    for page in streams:
        page.until("details.until > 0").has(*range(1, len(accepted) + 1))
        waits.append(page.get("details.until") / 1000 - stopped)
    # The server asks for delays between 0.5 and 1 second. A page adds up to a second.
    assert min(waits) > 0.5
    assert max(waits) > 0.8
    # The last answer to a long poll may come before the last event.
    numbers = poll.until("details.until > 0").numbers()
    assert numbers == list(range(1, len(numbers) + 1))
    site.program.start()
    for page in (*streams, poll):
        page.until("gaps.length > 0").open()
    site.publish(0)
    for page in (*streams, poll):
        received = len(numbers) if page is poll else len(accepted)
        page.has(*range(1, received + 1), 0)
        assert [gap["after"] for gap in page.get("gaps")] == [accepted[received - 1]]


WAKES = {
    "online": lambda page: page.get("dispatchEvent(new Event('online'))"),
    "visible": lambda page: page.show(True),
    "pageshow": lambda page: page.come_back(),
}


@pytest.mark.parametrize("how", WAKES)
def test_waking_ends_the_wait(site, tab, how):
    """A wake-up makes a waiting page connect immediately, although its clock has stopped."""
    page = tab(transports=["sse"], clock=True).open()
    site.publish(1)
    page.has(1)
    site.program.stop()
    page.pass_time(1)
    page.until("subscription.state === 'waiting'")
    site.program.start()
    if how == "pageshow":
        page.go_away()
    WAKES[how](page)
    page.open()


def test_another_tab_wakes_the_one_that_waits(site, tab):
    """A second tab that is shown makes the waiting first tab, whose clock has stopped, connect."""
    first = tab(clock=True).open()
    site.publish(1)
    second = tab(beside=first).open().has(1)
    site.program.stop()
    first.pass_time(1)
    for page in (first, second):
        page.until("subscription.state === 'waiting'")
    site.program.start()
    second.show(True)
    for page in (first, second):
        page.open()


def test_a_gap_reaches_all_tabs(site, tab):
    """After a restart, each tab gets the gap once, and then the next event."""
    tabs = [tab().open()]
    tabs += [tab(beside=tabs[0]).open() for _ in range(2)]
    (before,) = site.publish(1)
    for page in tabs:
        page.has(1)
    site.program.restart()
    for page in tabs:
        page.until("gaps.length > 0").open()
    site.publish(2)
    for page in tabs:
        page.has(1, 2)
        assert [gap["after"] for gap in page.get("gaps")] == [before]
