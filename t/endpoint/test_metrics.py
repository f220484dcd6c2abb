"""The numbers of `MetricsHandler` match the data that was sent."""

import asyncio
import re
import sys
import time

import pytest
import tornado.web
from prometheus_client import REGISTRY
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from support.program import ROOT
from support.subscriber import STREAMS
from support.wire import read_head, soon
from tornado.netutil import bind_sockets

from tatsumaki_py import Application, MessageQueue, MetricsHandler, PublishHandler, SubscribeHandler
from tatsumaki_py.counters import COUNTERS, REFUSALS
from tatsumaki_py.push import counted
from tatsumaki_py.server.http_server import StrictServer


class Closed(SubscribeHandler):
    def can_subscribe(self, channel):
        return False


REASONS = [value for name, value in vars(counted).items() if name.isupper() and name != "COUNTERS"]


class Limited(PublishHandler):
    max_rate, max_burst = 0.001, 1


RULES = [
    (r"/events/([\w.-]+)", SubscribeHandler),
    (r"/closed/([\w.-]+)", Closed),
    (r"/publish/([\w.-]+)", PublishHandler),
    (r"/metrics", MetricsHandler),
]


pytestmark = pytest.mark.usefixtures("app")


@pytest.fixture(params=[Application, tornado.web.Application])
def app(request):
    # Limits belong to a class: each test has its own class.
    limited = type("Limited", (Limited,), {})
    return request.param([*RULES, (r"/limited/([\w.-]+)", limited)])


@pytest.fixture
def scrape(fetch):
    """`numbers = await scrape()` returns the numbers by name and the values of the labels, as in
    ``("tatsumaki_connections", "sse")``.
    """

    async def scrape():
        answer = await fetch("/metrics")
        assert answer.code == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        families = text_string_to_metric_families(answer.body.decode())
        samples = [sample for family in families for sample in family.samples]
        return {(one.name, *one.labels.values()): one.value for one in samples}

    return scrape


@pytest.fixture
def since(scrape):
    """`change = await since()`, then `await change()` returns how much each number has grown."""

    async def begin():
        before = await scrape()

        async def change():
            after = await scrape()
            return {
                (name.removeprefix("tatsumaki_"), *labels): value - before.get((name, *labels), 0)
                for (name, *labels), value in after.items()
            }

        return change

    return begin


@pytest.mark.parametrize("transport", STREAMS)
@pytest.mark.gen_test
async def test_a_stream(subscriber, queue, since, transport):
    """The connections, events and bytes of a streaming transport are counted."""
    change = await since()
    traffic = COUNTERS.traffic[transport]
    before = traffic.open
    client = subscriber(transport)
    await client.open()
    body = len(client._reader._body)
    queue.publish({"n": 1})
    queue.publish({"n": 2})
    assert await client.take(2) == [{"n": 1}, {"n": 2}]
    assert (await change())["connections", transport] == 1
    client.close()
    await soon(lambda: traffic.open == before)
    now = await change()
    assert now["connections", transport] == 0
    assert now["connections_opened_total", transport] == 1
    ends = {key[1] for key, value in now.items() if key[0] == "connections_ended_total" and value}
    assert ends == {"lost" if transport == "websocket" else "closed"}
    assert now["events_delivered_total", transport] == 2
    assert now["events_published_total",] == 2
    assert now["sent_bytes_total", transport] > body + 2 * len('{"n":1}')
    assert now["delivery_seconds_count",] == 2
    assert now["delivery_seconds_bucket", "1.0"] == 2


@pytest.mark.gen_test
async def test_a_long_poll(subscriber, queue, since):
    """A long poll is counted while it is waiting and when it is answered."""
    change = await since()
    client = subscriber("long-poll", client_id="me")
    reading = asyncio.ensure_future(client.next())
    await soon(lambda: queue.clients)
    assert (await change())["connections", "long-poll"] == 1
    queue.publish("one")
    assert (await reading).data == "one"
    now = await change()
    assert now["connections", "long-poll"] == 0
    assert now["connections_ended_total", "answered", "long-poll"] == 1
    assert now["events_delivered_total", "long-poll"] == 1
    assert now["sent_bytes_total", "long-poll"] >= len('["one"]')
    assert now["delivery_seconds_count",] == 1


@pytest.mark.gen_test
async def test_a_client_that_comes_late(subscriber, queue, since):
    """No delay is counted for events from before a client subscribed; a gap is counted."""
    queue.backlog_length = 2
    queue.publish({"n": 0})
    before = queue._channel.log.top
    change = await since()
    for number in range(5):
        queue.publish({"n": number})
    queue._channel.log.trim(2, 2, float("inf"))
    client = subscriber("sse", cursor=before)
    await client.open()
    assert [(await client.next()).gap for _ in range(3)] == [True, False, False]
    now = await change()
    assert now["events_delivered_total", "sse"] == 2
    assert now["gaps_told_total",] == 1
    assert now["delivery_seconds_count",] == 0
    client.close()


@pytest.mark.gen_test
async def test_refused(ask, queue, since, monkeypatch):
    """Refused requests are counted by reason."""
    change = await since()
    assert (await read_head(await ask("GET /closed/room"))).status == 403
    monkeypatch.setattr(type(queue), "max_channels", 0)
    request = await ask("POST /publish/room", "Content-Type: application/json", body="{}")
    assert (await read_head(request)).status == 503
    monkeypatch.setattr(type(queue), "max_clients", 0)
    assert (await read_head(await ask("GET /events/room"))).status == 503
    for status in (200, 429):
        request = await ask("POST /limited/other", "Content-Type: application/json", body="[]")
        assert (await read_head(request)).status == status
    monkeypatch.setattr(type(queue), "max_channels", 9)
    queue.publish("x")
    monkeypatch.setattr(type(queue), "max_size", 0)
    for closed in (False, True):
        monkeypatch.setattr(MessageQueue._registry, "closed", closed)
        request = await ask("POST /publish/room", "Content-Type: application/json", body="{}")
        assert (await read_head(request)).status == 503
    now = await change()
    refused = {key[1]: value for key, value in now.items() if key[0] == "refused_total" and value}
    reasons = ("forbidden", "channels", "clients", "rate", "events", "draining")
    assert refused == dict.fromkeys(reasons, 1)


@pytest.mark.gen_test
async def test_too_few_descriptors(app, raw, since):
    """A connection that is closed for lack of a descriptor is counted."""
    change = await since()
    server = StrictServer(app)
    (listening,) = bind_sockets(0, "127.0.0.1")
    server.add_socket(listening)
    server._last = 0
    client = await raw(listening.getsockname()[1])
    assert await client.read_all() == b""
    server.stop()
    assert (await change())["refused_total", "descriptors"] == 1


@pytest.mark.gen_test
async def test_the_rest(scrape, queue):
    """The gauges, the loop's lag and the metrics of the process are reported."""
    queue.publish("x" * 1000)
    queue.poll("me", print)
    now = await scrape()
    assert now["tatsumaki_channels",] == 1
    assert now["tatsumaki_clients",] == 1
    assert now["tatsumaki_log_bytes",] > 1000
    before = now["tatsumaki_loop_lag_seconds_count",]
    await soon(lambda: sum(COUNTERS.lag.counts) > before)
    assert now["process_open_fds",] > 0


@pytest.mark.gen_test
async def test_formats(fetch):
    """A client may ask for OpenMetrics; an invalid version causes no error."""
    for accept in ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text"):
        answer = await fetch("/metrics", headers={"Accept": accept})
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        names = {family.name for family in openmetrics(answer.body.decode())}
        assert {"tatsumaki_connections", "tatsumaki_delivery_seconds"} <= names
    accept = "application/openmetrics-text; version=x.y"
    assert (await fetch("/metrics", headers={"Accept": accept})).code == 200
    head = await fetch("/metrics", method="HEAD")
    assert (head.code, head.body) == (200, b"")
    assert head.headers["Cache-Control"] == "no-store"


@pytest.mark.gen_test
async def test_many_scrapes_at_once(ask, fetch):
    """Scrapes are processed one at a time, and not for clients that have left."""
    await fetch("/metrics")
    running, most, made = 0, 0, 0

    class Slow:
        def collect(self):
            nonlocal running, most, made
            running += 1
            most, made = max(most, running), made + 1
            time.sleep(0.03)
            running -= 1
            return []

    slow = Slow()
    REGISTRY.register(slow)
    made = 0
    try:
        clients = [await ask("GET /metrics") for _ in range(10)]
        for client in clients[4:]:
            client.reset()
        heads = [await read_head(client) for client in clients[:4]]
        await soon(lambda: not running)
        # This scrape is processed after all of them.
        assert (await fetch("/metrics")).code == 200
    finally:
        REGISTRY.unregister(slow)
    assert [head.status for head in heads] == [200] * 4
    assert most == 1
    assert made <= 6


@pytest.mark.gen_test
async def test_without_prometheus_client(fetch, monkeypatch, expect_log):
    """Without `prometheus_client`, the log names the package to install."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with expect_log("tornado.application", "Uncaught exception") as records:
        assert (await fetch("/metrics")).code == 500
    assert "pip install 'tatsumaki_py[metrics]'" in str(records[0].exc_info[1])


@pytest.mark.gen_test
async def test_guide(fetch):
    """The guide lists all metrics, with their types and labels, and all reasons."""
    guide = (ROOT / "docs/guide/monitoring.md").read_text()
    rows = re.findall(r"^\| `(tatsumaki_\w+)` \| (\w+) \| (.*?) ?\| (.*?) \|$", guide, re.M)
    COUNTERS.traffic["sse"].ended["closed"] += 0
    body = (await fetch("/metrics")).body.decode()
    shown = {
        (
            family.name + "_total" * (family.type == "counter"),
            family.type,
            *sorted({label for sample in family.samples for label in sample.labels} - {"le"}),
        )
        for family in text_string_to_metric_families(body)
        if family.name.startswith("tatsumaki_") and not family.name.endswith("_created")
    }
    told = {
        (name, kind, *sorted(re.findall(r"`(\w+)`", labels))) for name, kind, labels, text in rows
    }
    assert told == shown
    for reason in (*REFUSALS, *REASONS):
        assert f"`{reason}`" in guide
