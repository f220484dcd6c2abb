"""Only pages from allowed origins can read answers and publish."""

from contextlib import nullcontext

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPRequest

from tatsumaki_py import Application, Error, PublishHandler, SubscribeHandler

FRIEND, SETTING, STRANGER = "https://friend.example", "https://set.example", "https://evil.example"
CREDENTIALS = "Access-Control-Allow-Credentials"
JSON = {"Content-Type": "application/json"}


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


class PublishPublic(PublishHandler):
    allowed_origins = ("*",)


class WithToken(Listed):
    allow_credentials = True

    def prepare(self):
        if self.request.headers.get("X-Api-Key") != "key":
            Error.HTTP.throw(401, "a key is needed")


class Checking(SubscribeHandler):
    """A handler with Tornado's hook for the origin of WebSockets."""

    def check_origin(self, origin):
        return origin == STRANGER


class Broken(Listed):
    def prepare(self):
        raise RuntimeError("broken")


@pytest.fixture
def settings():
    return {"trusted_origins": [SETTING]}


@pytest.fixture
def app(settings):
    kinds = [Closed, Listed, WithCookies, Public, PublicAndListed, Publish, PublishPublic]
    kinds += [WithToken, Checking, Broken]
    rules = [(rf"/{kind.__name__}/(\w+)", kind) for kind in kinds]
    return Application(rules, **settings)


@pytest.fixture
def ask(http_server, base_url):
    async def ask(kind, origin, channel="room", method="GET", path="?timeout=0", **options):
        request = HTTPRequest(
            f"{base_url}/{kind.__name__}/{channel}{path}",
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
    """The CORS headers allow only listed origins to read the answer and its cursor."""
    for channel in ("room", "secret"):
        headers = (await ask(kind, origin, channel)).headers
        assert headers.get("Access-Control-Allow-Origin") == allowed
        assert headers.get(CREDENTIALS) == credentials
        exposed = headers.get("Access-Control-Expose-Headers")
        assert exposed == ("Last-Event-ID, Retry-After" if allowed else None)
        if kind is not Public:
            assert "Origin" in headers["Vary"]


@pytest.mark.gen_test
async def test_errors(ask):
    """A page from a listed origin may read why it was refused."""
    reply = await ask(WithCookies, FRIEND, "secret")
    assert (reply.code, reply.headers["Access-Control-Allow-Origin"]) == (401, FRIEND)
    assert reply.headers[CREDENTIALS] == "true"


@pytest.mark.parametrize(
    ("kind", "options", "status", "said"),
    [
        (WithToken, {}, 401, b"a key is needed"),
        (WithToken, {"headers": {"X-Api-Key": "key"}, "path": "?transport=pigeon"}, 400, None),
        (Listed, {"method": "POST", "body": ""}, 405, b"Method Not Allowed"),
        (Listed, {"method": "BREW", "allow_nonstandard_methods": True}, 405, None),
        (Publish, {}, 405, b"Method Not Allowed"),
        (Publish, {"method": "POST", "body": "x", "headers": {"Content-Type": "a/b"}}, 415, None),
        (Publish, {"method": "POST", "body": "[", "headers": JSON}, 400, None),
        (Broken, {}, 500, b"Internal Server Error"),
    ],
)
@pytest.mark.gen_test
async def test_each_error_can_be_read(ask, expect_log, kind, options, status, said):
    """A listed origin may read every error, even for an unknown method or an exception in
    `prepare`.
    """
    with expect_log("tornado.application", "Uncaught") if status == 500 else nullcontext():
        reply = await ask(kind, FRIEND, **options)
    assert reply.code == status
    assert said in (None, reply.body)
    assert reply.headers["Access-Control-Allow-Origin"] == FRIEND


def preflight(*names, method="POST"):
    """The headers with which a browser asks whether it may send these headers."""
    headers = {"Access-Control-Request-Method": method}
    return headers | ({"Access-Control-Request-Headers": ",".join(names)} if names else {})


@pytest.mark.parametrize(("origin", "allowed"), [(FRIEND, True), (STRANGER, False)])
@pytest.mark.gen_test
async def test_preflight(ask, origin, allowed):
    """Only a preflight request from a listed origin is answered with the allowed methods and
    headers.
    """
    reply = await ask(Publish, origin, method="OPTIONS", headers=preflight())
    assert (reply.code, reply.body) == (204, b"")
    assert reply.headers["Allow"] == "POST, OPTIONS"
    methods = reply.headers.get("Access-Control-Allow-Methods")
    assert methods == ("POST, OPTIONS" if allowed else None)
    names = reply.headers.get("Access-Control-Allow-Headers", "")
    assert ("Idempotency-Key" in names) == ("Event-Key" in names) == allowed


ASKED = ["x-api-key", "cache-control", "x-requested-with", "traceparent", "x-own", "x_y"]
REFUSED = ["*", "a b", "x-\u00e9", "x" * 101, "", "x-forwarded-for", "X-Real-IP", "forwarded"]


@pytest.mark.parametrize("kind", [Publish, PublishPublic, Listed, WithToken])
@pytest.mark.gen_test
async def test_any_header_may_be_asked_for(ask, kind):
    """Any header is allowed, except invalid names and headers in which a proxy names the client."""
    headers = preflight(*ASKED, *REFUSED)
    reply = await ask(kind, FRIEND, method="OPTIONS", headers=headers)
    assert reply.code == 204
    names = reply.headers["Access-Control-Allow-Headers"].lower().split(", ")
    assert set(ASKED) < set(names)
    assert not {name.lower() for name in REFUSED} & set(names)
    assert len(names) == len(set(names))


@pytest.mark.gen_test
async def test_many_names_are_not_repeated(ask):
    """The answer lists a bounded number of the requested headers."""
    headers = preflight(*(f"x-{number}" for number in range(3000)))
    reply = await ask(Publish, FRIEND, method="OPTIONS", headers=headers)
    assert len(reply.headers["Access-Control-Allow-Headers"]) < 500


@pytest.mark.parametrize(
    ("kind", "origin", "headers", "status"),
    [
        (WithToken, FRIEND, preflight("x-api-key"), 204),
        (WithToken, STRANGER, preflight("x-api-key"), 401),
        (WithToken, FRIEND, {}, 401),
    ],
)
@pytest.mark.gen_test
async def test_a_preflight_needs_no_credentials(ask, kind, origin, headers, status):
    """A preflight request from a listed origin is answered without calling `prepare`."""
    assert (await ask(kind, origin, method="OPTIONS", headers=headers)).code == status


@pytest.mark.gen_test
async def test_stream(subscriber):
    """A stream has the same CORS headers."""
    client = subscriber("sse", path="/Listed/room", headers={"Origin": FRIEND})
    head = await client.open()
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
        ("Checking", STRANGER, {}, 101),
        ("Checking", FRIEND, {}, 403),
        ("Public", STRANGER, {}, 101),
        ("Public", STRANGER, {"Cookie": "a=b"}, 403),
        ("Public", STRANGER, {"Authorization": "Basic eDp5"}, 403),
    ],
)
@pytest.mark.gen_test
async def test_websocket(subscriber, http_port, kind, origin, headers, status):
    """Browsers send no preflight request for a WebSocket: the server checks the origin itself."""
    fields = {"Origin": origin.format(port=http_port)} if origin else {}
    client = subscriber("websocket", path=f"/{kind}/room", headers=fields | headers)
    assert (await client.open()).status == status


@pytest.mark.parametrize(
    ("attributes", "mistake"),
    [
        ({"allowed_origins": "https://x"}, "allowed_origins must be a list"),
        ({"allowed_origins": ["*"], "allow_credentials": True}, "let any page act"),
    ],
)
def test_mistakes(attributes, mistake):
    """Dangerous settings raise an exception when the class is made."""
    with pytest.raises(TypeError, match=mistake):
        type("Wrong", (SubscribeHandler,), attributes)


@pytest.mark.parametrize(
    ("origin", "mend"),
    [
        ("https://Example.com", "browsers send 'https://example.com'"),
        ("HTTPS://example.com", "browsers send 'https://example.com'"),
        ("https://example.com/", "browsers send 'https://example.com'"),
        ("https://example.com/app/", "browsers send 'https://example.com'"),
        ("https://example.com:443", "browsers send 'https://example.com'"),
        ("http://example.com:80", "browsers send 'http://example.com'"),
        ("https://*.example.com", r"override check_trusted_origin\(\)"),
    ],
)
def test_origins_that_no_browser_sends(origin, mend):
    """An origin that no browser sends raises a `ValueError`, as it would never match."""
    with pytest.raises(ValueError, match=mend):
        type("Wrong", (SubscribeHandler,), {"allowed_origins": [origin]})


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "http://localhost:8000",
        "https://[::1]:80",
        "http://x",
        "chrome-extension://abc",
    ],
)
def test_origins(origin):
    """These origins are accepted."""
    type("Right", (SubscribeHandler,), {"allowed_origins": [origin]})


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
        """A client without a token, or with a token other than the cookie's, may not publish."""
        with expect_log("tornado.general", "(?i)xsrf") if status == 403 else nullcontext():
            reply = await ask(Publish, None, method="POST", body="{}", headers=headers | JSON)
        assert reply.code == status


class TestOtherSites:
    """With `cross_origin_protection`, only some pages from other sites may publish."""

    @pytest.fixture
    def settings(self):
        return {"cross_origin_protection": True}

    @pytest.mark.parametrize(
        ("kind", "origin", "headers", "status"),
        [
            (Publish, FRIEND, {}, 200),
            (Publish, FRIEND, {"Cookie": "a=b"}, 200),
            (Publish, STRANGER, {}, 403),
            (PublishPublic, STRANGER, {}, 200),
            (PublishPublic, STRANGER, {"Cookie": "a=b"}, 403),
            (PublishPublic, STRANGER, {"Authorization": "Basic eDp5"}, 403),
        ],
    )
    @pytest.mark.gen_test
    async def test_post(self, ask, expect_log, kind, origin, headers, status):
        """A listed origin may publish; with a public handler, any origin may, without
        credentials.
        """
        headers = {**JSON, "Sec-Fetch-Site": "cross-site", **headers}
        with expect_log("tornado.general", "403 POST") if status == 403 else nullcontext():
            reply = await ask(kind, origin, method="POST", body="{}", headers=headers)
        assert reply.code == status
