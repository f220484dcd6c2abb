"""With `getState`, a page loads its state, and gets each event after the state once."""

import pytest

TRANSPORTS = ["sse", "websocket", "long-poll"]


@pytest.fixture
def page(site, tab):
    """`page("?wait=1")` opens a page that records the numbers of its states and events."""

    def open_page(query="", beside=None, **options):
        url = f"/state/{site.channel}{query}"
        return tab(stateUrl=url, beside=beside, **options)

    return open_page


def lose(site, *pages):
    """Makes the pages miss more events than the channel keeps."""
    for page in pages:
        page.go_away()
    site.control("lose")
    site.publish(3, 4, 5)
    for page in pages:
        page.come_back()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_state_comes_first(site, page, transport):
    """A page loads its state first, at the start and after a gap, and gets the events after it."""
    site.publish(1)
    tab = page("?wait=1", transports=[transport])
    site.until(lambda: site.control("held"))
    site.publish(2)
    assert tab.get("[events.length, subscription.state]") == [0, "connecting"]
    site.control("release")
    tab.has(1, 2)
    lose(site, tab)
    tab.has(1, 2, 5)
    site.publish(6)
    tab.open().has(1, 2, 5, 6)
    assert tab.get("[loads, gaps.length]") == [2, 1]


def test_a_page_that_was_rendered_with_it(site, page):
    """A page with a cursor does not load its state until there is a gap."""
    (_, cursor) = site.publish(1, 2)
    tab = page(lastEventId=cursor).open()
    assert tab.get("loads") == 0
    lose(site, tab)
    tab.has(5)
    assert tab.get("[loads, gaps.length]") == [1, 1]


def test_a_state_that_cannot_be_loaded(site, tab, page_errors):
    """A page gets the error if `getState` fails, and backs off; `retry` retries immediately."""
    page_errors.allow("500")
    page = tab("/events/nothing", clock=True)
    page.get("subscription.close(), states.length = 0")
    bodies = [{"status": 500}, {"status": 500}, {"json": {"n": 7}}, {"json": {"lastEventId": ""}}]

    def answer(route):
        route.fulfill(**bodies.pop(0)) if bodies else route.continue_()

    page.page.route("**/state/**", answer)
    page.subscribe(f"/events/{site.channel}", stateUrl=f"/state/{site.channel}")
    failed = "getState failed: Error: the server answered 500"
    wrong = "getState failed: TypeError: getState must return an object with lastEventId"
    for count, (message, longest) in enumerate(
        ((failed, 2), (failed, 4), (wrong, 8), (wrong, 15)), 1
    ):
        page.until(f"states.filter((state) => state === 'waiting').length === {count}")
        assert page.get("details.error.message").startswith(message)
        assert longest / 2 <= page.get("(details.until - Date.now()) / 1000") <= longest
        page.get("subscription.retry()")
    page.open()
    assert page.get("loads") == 5


def test_a_state_that_is_too_old(site, tab):
    """A page loads a state from before the log again, waiting between the attempts."""
    ids = site.publish(1, 2, 3)
    site.control("lose")
    site.publish(4)
    page = tab("/events/nothing", clock=True)
    page.get("subscription.close()")
    states = [{"lastEventId": ids[0], "n": 1}] * 2

    def answer(route):
        route.fulfill(json=states.pop()) if states else route.continue_()

    page.page.route("**/state/**", answer)
    page.subscribe(f"/events/{site.channel}", stateUrl=f"/state/{site.channel}")
    for count, longest in ((1, 2), (2, 4)):
        page.until(f"states.filter((state) => state === 'waiting').length === {count}")
        assert page.get("details.error.message") == "there is a gap after the state"
        assert longest / 2 <= page.get("(details.until - Date.now()) / 1000") <= longest
        page.pass_time(longest)
    page.open().has(1, 1, 4)


def test_a_page_that_goes_while_it_loads(site, page):
    """A page calls `getState` once at a time, even if it is put away; `close` aborts the call."""
    tab = page("?wait=1", shared=False)
    site.until(lambda: site.control("held"))
    tab.go_away()
    tab.come_back()
    tab.go_away()
    site.control("release")
    tab.until("events.length === 1")
    assert site.control("listening") == 0
    tab.come_back()
    tab.open()
    assert tab.get("[loads, events.length]") == [1, 1]
    tab.get(
        """subscription.close(), window.aborted = false, subscribe(location.href, {
            getState: ({ signal }) => new Promise((_, reject) => {
                signal.onabort = () => ((aborted = true), reject(signal.reason));
            }) }), null"""
    )
    tab.page.wait_for_timeout(50)
    tab.get("subscription.close()")
    assert tab.get("[aborted, subscription.state]") == [True, "closed"]


def test_tabs(site, tab, page):
    """After a gap, each tab with `getState` loads its state, and all share a connection again."""
    first = page().open()
    tabs = [first, page(beside=first).open(), tab(beside=first).open()]
    lose(site, *tabs)
    for one in tabs:
        one.has(*([0, 5] if one is not tabs[2] else [5]))
    site.publish(6)
    for one in tabs:
        one.open().has(*([0, 5, 6] if one is not tabs[2] else [5, 6]))
    assert [one.get("loads") for one in tabs] == [2, 2, 0]
    site.until(lambda: site.control("listening") == 1)


def test_several_channels(site, tab):
    """A state of several channels has the cursor of all channels, and events of each follow."""
    names = [site.channel, f"{site.channel}b"]
    site.publish(1)
    page = tab("/events", channels=names, stateUrl=f"/state/{'+'.join(names)}").open()
    site.publish(2)
    site.publish(3, channel=names[1])
    page.has(0, 2, 3)
