"""The transport is changed while events are published."""

TURNS = ["websocket", "long-poll", "ndjson", "sse", "multipart"]


def test_nothing_is_lost_and_nothing_comes_twice(site, tab):
    """A page that changes its transport after every few events gets each event once, in order."""
    page = tab().open("sse")
    site.control("start")
    for transport in TURNS * 2:
        page.get(f"subscription.transport = '{transport}'")
        count = page.get("events.length")
        page.open(transport).until(f"events.length > {count + 10}")
    count = site.control("stop")
    page.until(f"events.at(-1).data.n === {count}")
    assert page.numbers() == list(range(1, count + 1))
    assert page.get("gaps") == []
    site.until(lambda: site.control("listening") == 1)


def test_at_once_and_often(site, tab):
    """A page that sets several transports one after another uses the last, and loses no event."""
    page = tab().open("sse")
    site.control("start")
    page.get(f"for (const name of {[*TURNS, 'ndjson']}) subscription.transport = name")
    page.open("ndjson").until("events.length > 100")
    count = site.control("stop")
    page.until(f"events.at(-1).data.n === {count}")
    assert page.numbers() == list(range(1, count + 1))
    site.until(lambda: site.control("listening") == 1)


def test_without_a_pause(site, tab):
    """A page changes its transport immediately, even though its clock has stopped."""
    page = tab(clock=True).open("sse")
    for transport in TURNS:
        page.get(f"subscription.transport = '{transport}'")
        page.open(transport)
        site.publish(transport)
        page.until(f"events.at(-1)?.data.n === '{transport}'")
