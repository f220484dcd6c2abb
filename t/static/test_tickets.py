"""A page that gets a ticket for each connection."""

import pytest

TRANSPORTS = ["sse", "websocket", "ndjson", "multipart", "long-poll", "interval-poll"]


def subscribe(tab, site, transport, seconds=60, **options):
    url = f"/tickets/{site.channel}?seconds={seconds}"
    return tab("/ticketed/{}", transports=[transport], ticketUrl=url, **options)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_ticket(site, tab, transport):
    """A page with a ticket gets an event with every transport, and never has to wait."""
    page = subscribe(tab, site, transport).open(transport)
    site.publish(1)
    if transport == "interval-poll":
        # The page polls now and does not wait for its interval.
        page.get("dispatchEvent(new Event('online'))")
    page.has(1)
    assert page.get("states.includes('waiting')") is False


@pytest.mark.parametrize("transport", ["sse", "long-poll"])
def test_it_is_renewed(site, tab, transport, page_errors):
    """A page whose ticket has expired connects with a new ticket."""
    page_errors.allow("403")
    # A page reuses a ticket for a second, so one that is valid for a second may expire on its way.
    page = subscribe(tab, site, transport, seconds=2).open(transport)
    page.page.wait_for_timeout(2200)
    page.get("dispatchEvent(new Event('online'))")
    site.publish(1)
    page.has(1).open(transport)
    assert site.control("tickets") >= 2


def test_it_is_revoked(site, tab, page_errors):
    """A page whose connection was ended gets a new ticket, even if its last one is new."""
    page_errors.allow("403")
    page = subscribe(tab, site, "sse").open("sse")
    assert site.control("disconnect") == 1
    site.until(lambda: site.control("tickets") == 2)
    page.open("sse")
    site.publish(1)
    page.has(1)


def test_a_ticket_that_is_refused(site, tab, page_errors):
    """If a new ticket is refused, the subscription ends and the page gets the reason."""
    page_errors.allow("403")
    url = "/tickets/other?seconds=60"
    page = tab("/ticketed/{}", transports=["sse"], ticketUrl=url)
    page.until("subscription.state === 'closed'")
    error = {"message": "the ticket is for other channels", "status": 403}
    assert page.get("details.error") == error


def test_no_ticket(site, tab, page_errors):
    """If `ticket` fails, the page gets the error, and `ticket` is called again."""
    page_errors.allow("500")
    page = tab("/ticketed/{}", transports=["sse"], ticketUrl=f"/tickets/{site.channel}")
    page.until("subscription.state === 'waiting'")
    message = "no ticket: Error: the page failed"
    assert page.get("details.error") == {"message": message, "status": 0}
    site.until(lambda: site.control("tickets") >= 3)
    assert site.control("asked") == []
