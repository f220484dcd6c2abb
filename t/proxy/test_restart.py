"""When the server restarts behind a proxy, pages reconnect automatically and get a gap."""

import json
import urllib.request

import pytest
from support.proxies import FILES

# Each client keeps its messages in `got` and the number of its attempts in `tries`.
CLIENTS = {
    "EventSource": """
        source = new EventSource("/events/room")
        source.onmessage = ({ data, lastEventId: id }) => got.push({ ...JSON.parse(data), id })
        source.addEventListener("gap", ({ data }) => got.push(JSON.parse(data)))
        source.onopen = () => tries++
    """,
    "tatsumaki.js": """
        const { Subscription } = await import("/tatsumaki.js")
        new Subscription("/events/room", {
            onEvent: (data, { id }) => got.push({ ...data, id }),
            onGap: (gap) => got.push(gap),
            onState: (state, details) => tries += state === "connecting",
        })
    """,
}


@pytest.fixture
def http_server(serve_program):
    """A process that a test can stop and start."""
    return serve_program("t/proxy/program.py")


@pytest.fixture
def site(run_recipe, http_server, proxy):
    """The address of the proxy. An EventSource retries there after 100 ms."""
    return f"http://127.0.0.1:{run_recipe(proxy, http_server.port, retry=100)}"


def publish(site, number):
    """Publish the number and return the id of the event."""
    request = urllib.request.Request(
        f"{site}/publish/room",
        json.dumps({"n": number}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=5) as response:
        return json.load(response)["id"]


@pytest.mark.parametrize(
    ("client", "proxy"),
    [
        *(("EventSource", proxy) for proxy in FILES),
        ("tatsumaki.js", "nginx"),
        ("tatsumaki.js", "haproxy"),
    ],
)
def test_a_page_survives_a_restart(http_server, site, page, page_errors, client):
    """While the server is down, an EventSource gets an empty stream from the proxy."""
    page_errors.allow("50[23]")  # for other requests from tatsumaki.js
    page.goto(site)
    page.evaluate(f"async () => {{ got = []; tries = 0; {CLIENTS[client]} }}")
    page.wait_for_function("tries")
    before = publish(site, 1)
    page.wait_for_function("got.length === 1")
    http_server.stop()
    page.wait_for_function("tries => window.tries > tries", arg=page.evaluate("tries"))
    http_server.start()
    after = publish(site, 2)
    page.wait_for_function("got.length === 3")
    first, gap, second = page.evaluate("got")
    assert [first, second] == [{"n": 1, "id": before}, {"n": 2, "id": after}]
    assert (gap["type"], gap["after"]) == ("gap", before)
