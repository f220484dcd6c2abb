"""A server that goes and comes back, as another one: it has forgotten everything."""

import signal

import pytest

TRANSPORTS = ["sse", "websocket", "ndjson", "multipart", "long-poll"]


@pytest.fixture
def program(serve_program):
    """One for each test."""
    return serve_program("t/static/program.py")


@pytest.fixture(autouse=True)
def announced(page_errors):
    page_errors.allow("ERR_(CONNECTION_|EMPTY_RESPONSE|INCOMPLETE_CHUNKED)")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_server_that_starts_anew(site, tab, transport):
    """It has forgotten all: the page is told of the gap, and goes on behind it by the same way."""
    (before,) = site.publish(1)
    page = tab(transports=[transport, "interval-poll"]).open().has(1)
    site.program.stop(signal.SIGKILL)
    page.until("subscription.state === 'waiting'")
    assert page.get("details.until > Date.now() - 1000")
    site.program.start()
    page.open(transport)
    site.publish(2)
    page.has(1, 2)
    (gap,) = page.get("gaps")
    assert (gap["type"], gap["after"]) == ("gap", before)


WAKES = {
    "online": lambda page: page.get("dispatchEvent(new Event('online'))"),
    "visible": lambda page: page.show(True),
    "pageshow": lambda page: page.come_back(),
}


@pytest.mark.parametrize("how", WAKES)
def test_waking_ends_the_wait(site, tab, how):
    """The time of the page stands still: nothing but the wake-up makes it try again."""
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
    """Time stands still there, and a tab that is shown makes it try again."""
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
    """Each is told once, and each goes on."""
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
