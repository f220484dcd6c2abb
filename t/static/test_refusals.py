"""Servers that refuse a page, and transports that do not get through."""

import pytest

TRANSPORTS = ["sse", "websocket", "ndjson", "multipart", "long-poll", "interval-poll"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_no_is_final(site, tab, page_errors, transport):
    """A page that is refused with 403 gets the reason, and does not retry."""
    page_errors.allow("403")
    page = tab("/refused/{}", transports=[transport]).until("subscription.state === 'closed'")
    assert page.get("details.error") == {"message": "Forbidden", "status": 403}
    count = len(site.control("asked"))
    page.get("dispatchEvent(new Event('online'))")
    page.page.wait_for_timeout(100)
    assert len(site.control("asked")) == count


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_no_content_is_the_end(site, tab, page_errors, transport):
    """A page that is answered with 204 ends without an error, and does not reconnect."""
    page_errors.allow("204")
    page = tab("/no-more/{}", transports=[transport]).until("subscription.state === 'ended'")
    assert page.get("[ends, details.error]") == [1, None]
    asked = len(site.control("asked"))
    assert asked <= 2
    page.get("subscription.retry(); dispatchEvent(new Event('online'))")
    page.page.wait_for_timeout(100)
    assert len(site.control("asked")) == asked


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_no_answer_is_explained(tab, page_errors, transport):
    """A page that is offline gets the reason why it waits."""
    page_errors.allow("ERR_")
    page = tab(transports=[transport]).open()
    page.page.context.set_offline(True)
    page.get("dispatchEvent(new Event('online'))")
    page.until("subscription.state === 'waiting'")
    assert page.get("details.error") == {"message": "the server cannot be reached", "status": 0}


def test_a_wait_has_a_reason(site, tab, page_errors):
    """A page gets the reason for a wait: a lost connection, or an answer that is not events."""
    page_errors.allow("ERR_")
    page = tab(transports=["ndjson"]).open()
    site.control("cut")
    page.until("states.includes('waiting')")
    reasons = ["the connection was lost", "the server cannot be reached"]
    assert page.get("details.error?.message") in [*reasons, None]
    page.open()
    page.page.route(
        "**/events/**", lambda route: route.fulfill(body="<p>Log in", content_type="text/html")
    )
    page.get("dispatchEvent(new Event('online'))")
    page.until("details.error?.message === 'the answer is not a list of events'")


def test_later_is_not_final(tab, page_errors):
    """A page that is answered with 503 gets the first line of the reason, and retries."""
    page_errors.allow("503")
    page = tab(transports=["ndjson"]).open()
    refusal = {"status": 503, "content_type": "text/plain", "body": "too many\nof you"}
    answers = [refusal, refusal]

    def answer(route):
        route.fulfill(**answers.pop()) if answers else route.continue_()

    page.page.route("**/events/**", answer)
    page.get("dispatchEvent(new Event('online'))")
    page.until("details.error")
    assert page.get("[details.error.message, details.error.status]") == ["too many", 503]
    page.open()
    assert page.get("states.filter((state) => state === 'waiting').length") == 2


def test_retry_after(tab, page_errors):
    """A page waits as Retry-After says, in seconds or with a date, but at most a minute."""
    page_errors.allow("503")
    page = tab(transports=["ndjson"], clock=True).open()
    values = {"20": (20, 21), "86400": (60, 61), "0": (0.5, 1), "soon": (0.5, 1)}
    values["Thu, 01 Jan 1970 00:00:30 GMT"] = (25, 30)  # the page's clock began with 1970
    headers = {}
    page.page.route("**/events/**", lambda route: route.fulfill(status=503, headers=headers))
    for headers["Retry-After"], (shortest, longest) in values.items():
        page.get("states.length = 0; dispatchEvent(new Event('online'))")
        page.until("states.at(-1) === 'waiting'")
        assert shortest <= page.get("(details.until - Date.now()) / 1000") <= longest


def test_a_websocket_that_is_closed_for_good(tab):
    """A WebSocket that is closed with 4403 closes the subscription; the page gets the reason."""
    page = tab("/logged-out", transports=["websocket"]).until("subscription.state === 'closed'")
    assert page.get("details.error") == {"message": "logged out", "status": 403}


def test_an_empty_stream_is_no_connection(tab):
    """A page does not count an empty stream as open, and waits before it retries."""
    page = tab("/empty", transports=["sse"], clock=True)
    for _ in range(3):
        page.until("subscription.state === 'waiting'")
        assert page.get("details.error.message") == "the stream ended right after it began"
        page.pass_time(page.get("(details.until - Date.now()) / 1000"))
    assert "open" not in page.get("states")


def test_a_long_poll_that_does_not_wait(tab):
    """A page waits before it polls again if two long polls immediately return nothing new."""
    page = tab(transports=["long-poll"], clock=True).open()
    asked = []

    def answer(route):
        asked.append(route)
        route.fulfill(json=[])

    page.page.route("**/events/**", answer)
    page.get("dispatchEvent(new Event('online'))")
    page.until("subscription.state === 'waiting'")
    assert page.get("details.error.message") == "the server sent nothing new"
    page.page.wait_for_timeout(200)
    assert len(asked) == 2


def test_a_stream_that_does_not_open(site, tab):
    """A page whose stream does not open within ten seconds switches to long polling."""
    site.publish(1)
    page = tab("/stuck/{}", clock=True)
    site.until(lambda: ["sse", ""] in site.control("asked"))
    page.pass_time(11)
    page.open("long-poll").has(1)
    site.publish(2)
    page.has(1, 2)


def test_a_stream_that_brings_nothing(site, tab):
    """A page whose stream opens but delivers no events switches to long polling."""
    page = tab("/held-back/{}", lastEventId=site.control("cursor"), clock=True).open("sse")
    page.pass_time(6)  # nothing was published: nothing is wrong
    site.publish(1)
    page.pass_time(11, 2)
    page.open("long-poll").has(1)
    assert page.get("gaps.length <= 1")


def test_one_failure_is_not_enough(site, tab, page_errors):
    """A page retries a stream that has worked before it switches to long polling."""
    page_errors.allow("ERR_FAILED")
    page = tab().open("sse")
    site.publish(1)
    page.has(1)
    routes = []

    def fail_twice(route):
        routes.append(route)
        route.abort() if len(routes) <= 2 else route.continue_()

    page.page.route("**transport=sse**", fail_twice)
    page.get("dispatchEvent(new Event('online'))")
    site.publish(2)
    page.has(1, 2).open("sse")
    assert "long-poll" not in [name for name, _ in site.control("asked")]
    routes.clear()
    page.page.unroute("**transport=sse**")
    page.page.route("**transport=sse**", lambda route: route.abort())
    page.get("dispatchEvent(new Event('online'))")
    page.open("long-poll")


@pytest.mark.parametrize("transport", ["sse", "websocket"])
def test_an_idle_stream_stays(site, tab, transport):
    """A page keeps a stream without events or heartbeats, and checks it with interval polls."""
    page = tab(clock=True, transports=[transport]).open()
    page.pass_time(*[9] * 20)
    asked = [name for name, _ in site.control("asked")]
    assert asked.count(transport) == 1
    assert 1 < asked.count("interval-poll") < 7
    site.publish(1)
    page.has(1)
    assert page.get("subscription.transport") == transport


@pytest.mark.parametrize("transport", ["sse", "websocket", "ndjson", "multipart"])
def test_heartbeats_are_enough(site, tab, transport):
    """A page does not check a stream that has sent a heartbeat and continues to send them."""
    page = tab("/lively/{}", clock=True, transports=[transport]).open()
    page.pass_time(*[1] * 12)
    asked = len(site.control("asked"))
    assert asked <= 3
    page.pass_time(*[9] * 20)
    assert len(site.control("asked")) == asked
    assert page.get("[events.length, gaps.length]") == [0, 0]


def test_a_silent_stream_is_replaced(site, tab):
    """A page replaces a stream that has worked, but no longer delivers events."""
    page = tab(transports=["ndjson"], clock=True).open()
    site.publish(1)
    page.has(1)
    site.control("mute")
    site.publish(2)
    page.pass_time(63, 2, 2)
    page.open().has(1, 2)
