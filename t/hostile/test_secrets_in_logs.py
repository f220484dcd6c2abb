"""Tickets and client ids reach no log, whatever the handler and the spelling of the parameter."""

import pytest
import tornado.web
from support.answers import until

from tatsumaki_py import Application, Handler, SubscribeHandler, WebSocketHandler

# Spellings of clients that the server also understands.
QUERIES = [
    "ticket=s3cret&client_id=s3cret",
    "a=1&ticket=s3cret",
    "client_id=s3cret&client_id=s3cret&b=2",
    "%74icket=s3cret&client%5Fid=s3cret",
    "ticket=s3cret=s3cret",
    "ticket=%73s3cret;s3cret",
    "?ticket=s3cret",
    "client_id=it's-s3cret",
    "client_id='s3cret&ticket=',s3cret",
    'client_id="s3cret&ticket=a<s3cret>s3cret&a=1',
    "client_id=%85s3cret\x85s3cret\xa0s3cret",
]


class Fails(Handler):
    def get(self):
        raise ZeroDivisionError


class Refuses(Handler):
    def get(self):
        self.log("asked for %s", self.request.full_url())
        raise tornado.web.HTTPError(400, "no %s", self.request.uri)


class Twice(Handler):
    def get(self):
        self.finish()
        self.finish()


class FailsWithIt(Handler):
    def get(self):
        raise ValueError(f"cannot read {self.request.uri!r}")


class PlainFails(tornado.web.RequestHandler):
    get = FailsWithIt.get


class PlainRefuses(tornado.web.RequestHandler):
    def get(self):
        raise tornado.web.HTTPError(400, "no %s", self.request.uri)


class FailingSocket(WebSocketHandler):
    def open(self):
        raise ZeroDivisionError


class FailingEvents(SubscribeHandler):
    def can_subscribe(self, channel):
        raise ZeroDivisionError


HANDLERS = (
    Fails,
    FailsWithIt,
    Refuses,
    Twice,
    PlainFails,
    PlainRefuses,
    FailingSocket,
    FailingEvents,
)


@pytest.fixture
def app():
    rules = [(f"/{kind.__name__}", kind) for kind in HANDLERS]
    return Application(
        [*rules, ("/events", SubscribeHandler), ("/plain", tornado.web.RequestHandler)]
    )


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.gen_test
async def test_not_in_a_log(server, query):
    """Every handler logs the request, and no line contains the secret."""
    server.traces = True
    paths = [*(kind.__name__ for kind in HANDLERS), "events", "plain", "nowhere", "static/x"]
    for path in paths:
        await server.get(f"/{path}?channel=room&timeout=0&{query}")
    text = "\n".join(line for _, line, _ in server.records.lines)
    for path in paths:
        assert f"/{path}?" in text
    assert "s3cret" not in text


@pytest.mark.gen_test
async def test_streams(server):
    """The log line of a stream also leaves them out."""
    for transport in ("sse", "ndjson", "multipart"):
        client = await server.connect(
            f"GET /events?channel=room&transport={transport}&client_id=s3cret&ticket=s3cret "
            "HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        )
        await client.read_until(b"\r\n\r\n")
        client.close()
        text = await until(
            lambda name=transport: next(
                (line for _, line, _ in server.records.lines if f"={name}" in line), ""
            )
        )
        assert f"transport={transport}&client_id=...&ticket=..." in text
    assert not any("s3cret" in line for _, line, _ in server.records.lines if "/events" in line)
