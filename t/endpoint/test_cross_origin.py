"""Pages of other origins: who is on the list may, and nobody else."""

from contextlib import nullcontext

import pytest
from support.subscriber import SSE, WebSocket
from tornado.httpclient import AsyncHTTPClient, HTTPRequest

from tatsumaki_py import Application, Error, PublishHandler, SubscribeHandler

FRIEND, SETTING, STRANGER = "https://friend.example", "https://set.example", "https://evil.example"
CREDENTIALS = "Access-Control-Allow-Credentials"


class Closed(SubscribeHandler):
    pass


class Listed(SubscribeHandler):
    allowed_origins = (FRIEND,)

    def can_subscribe(self, channel):
        return channel != "secret" or Error.HTTP.throw(401)


class WithCookies(Listed):
    allow_credentials = True


class Public(SubscribeHandler):
    allowed_origins = ("*",)


class PublicAndListed(SubscribeHandler):
    allowed_origins = ("*", FRIEND)


class Publish(PublishHandler):
    allowed_origins = (FRIEND,)


@pytest.fixture
def settings():
    return {"trusted_origins": [SETTING]}


@pytest.fixture
def app(settings):
    kinds = [Closed, Listed, WithCookies, Public, PublicAndListed, Publish]
    rules = [(rf"/{kind.__name__}/(\w+)", kind) for kind in kinds]
    return Application(rules, **settings)


@pytest.fixture
def ask(http_server, base_url):
    async def ask(kind, origin, channel="room", method="GET", **options):
        request = HTTPRequest(
            f"{base_url}/{kind.__name__}/{channel}?timeout=0",
            method,
            ({"Origin": origin} if origin else {}) | options.pop("headers", {}),
            **options,
        )
        return await AsyncHTTPClient().fetch(request, raise_error=False)

    return ask


@pytest.mark.parametrize(
    ("kind", "origin", "allowed", "credentials"),
    [
        (Closed, STRANGER, None, None),
        (Closed, SETTING, SETTING, None),
        (Listed, FRIEND, FRIEND, None),
        (Listed, SETTING, SETTING, None),
        (Listed, STRANGER, None, None),
        (Listed, "null", None, None),
        (Listed, "*", None, None),
        (Listed, f"{FRIEND}.evil.example", None, None),
        (Listed, None, None, None),
        (WithCookies, FRIEND, FRIEND, "true"),
        (WithCookies, STRANGER, None, None),
        (Public, STRANGER, "*", None),
        (Public, "null", "*", None),
        (PublicAndListed, FRIEND, FRIEND, None),
    ],
)
@pytest.mark.gen_test
async def test_reading(ask, kind, origin, allowed, credentials):
    """The browser is told what the page may see, and that the cursor is part of it."""
    for channel in ("room", "secret"):
        headers = (await ask(kind, origin, channel)).headers
        assert headers.get("Access-Control-Allow-Origin") == allowed
        assert headers.get(CREDENTIALS) == credentials
        exposed = headers.get("Access-Control-Expose-Headers")
        assert exposed == ("Last-Event-ID" if allowed else None)
        if kind is not Public:
            assert "Origin" in headers["Vary"]


@pytest.mark.gen_test
async def test_errors(ask):
    """A page may read why it was refused."""
    reply = await ask(WithCookies, FRIEND, "secret")
    assert (reply.code, reply.headers["Access-Control-Allow-Origin"]) == (401, FRIEND)
    assert reply.headers[CREDENTIALS] == "true"


@pytest.mark.parametrize(("origin", "allowed"), [(FRIEND, True), (STRANGER, False)])
@pytest.mark.gen_test
async def test_preflight(ask, origin, allowed):
    """What a browser asks before it sends what no form could."""
    reply = await ask(
        Publish, origin, method="OPTIONS", headers={"Access-Control-Request-Method": "POST"}
    )
    assert (reply.code, reply.body) == (204, b"")
    assert reply.headers["Allow"] == "POST, OPTIONS"
    methods = reply.headers.get("Access-Control-Allow-Methods")
    assert methods == ("POST, OPTIONS" if allowed else None)
    names = reply.headers.get("Access-Control-Allow-Headers", "")
    assert ("Idempotency-Key" in names) == allowed


@pytest.mark.gen_test
async def test_stream(subscriber):
    """A stream says the same."""
    client = subscriber("sse", path="/Listed/room", headers={"Origin": FRIEND})
    head = await client.open()
    assert isinstance(client, SSE)
    assert head.headers["access-control-allow-origin"] == FRIEND


@pytest.mark.parametrize(
    ("kind", "origin", "headers", "status"),
    [
        ("Closed", None, {}, 101),
        ("Closed", "http://127.0.0.1:{port}", {}, 101),
        ("Closed", STRANGER, {}, 403),
        ("Closed", "null", {}, 403),
        ("Closed", SETTING, {}, 101),
        ("Listed", FRIEND, {"Cookie": "a=b"}, 101),
        ("Listed", STRANGER, {}, 403),
        ("Public", STRANGER, {}, 101),
        ("Public", STRANGER, {"Cookie": "a=b"}, 403),
        ("Public", STRANGER, {"Authorization": "Basic eDp5"}, 403),
    ],
)
@pytest.mark.gen_test
async def test_websocket(subscriber, http_port, kind, origin, headers, status):
    """A browser asks nobody before a WebSocket: it is the server that has to look."""
    fields = {"Origin": origin.format(port=http_port)} if origin else {}
    client = subscriber("websocket", path=f"/{kind}/room", headers=fields | headers)
    assert isinstance(client, WebSocket)
    assert (await client.open()).status == status


@pytest.mark.parametrize(
    ("attributes", "mistake"),
    [
        ({"allowed_origins": "https://x"}, "allowed_origins is a list"),
        ({"allowed_origins": ["*"], "allow_credentials": True}, "let any page act"),
    ],
)
def test_mistakes(attributes, mistake):
    """What would be dangerous is not made at all."""
    with pytest.raises(TypeError, match=mistake):
        type("Wrong", (SubscribeHandler,), attributes)


class TestProtected:
    """With the settings that protect an application, publishing is protected."""

    @pytest.fixture
    def settings(self):
        return {"xsrf_cookies": True, "cross_origin_protection": True}

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({}, 403),
            ({"Cookie": "_xsrf=a", "X-XSRFToken": "a"}, 200),
            ({"Cookie": "_xsrf=a", "X-XSRFToken": "b"}, 403),
            ({"Cookie": "_xsrf=a", "X-XSRFToken": "a", "Origin": FRIEND}, 200),
        ],
    )
    @pytest.mark.gen_test
    async def test_token(self, ask, expect_log, headers, status):
        """Who has no token, or not that of the cookie, may not."""
        json = {"Content-Type": "application/json"}
        with expect_log("tornado.general", "(?i)xsrf") if status == 403 else nullcontext():
            reply = await ask(Publish, None, method="POST", body="{}", headers=headers | json)
        assert reply.code == status
