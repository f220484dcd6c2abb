"""The requests that each method sends."""

import pytest
import tornado.web
from tornado.httpclient import HTTPRequest

FORM = "application/x-www-form-urlencoded"


class Echo(tornado.web.RequestHandler):
    SUPPORTED_METHODS = (*tornado.web.RequestHandler.SUPPORTED_METHODS, "PURGE")

    def answer(self):
        request = self.request
        self.write(
            {
                "method": request.method,
                "body": request.body.decode(),
                "form": {name: self.get_arguments(name) for name in request.body_arguments},
                "headers": dict(request.headers),
            }
        )

    get = post = put = delete = patch = purge = answer

    def head(self):
        self.set_header("X-Method", "HEAD")


@pytest.fixture
def app():
    return tornado.web.Application([("/", Echo)])


async def sent(reply):
    res = await reply
    assert res.status_line == "200 OK"
    return tornado.escape.json_decode(res.content)


@pytest.mark.gen_test
async def test_get(client, http_server, base_url):
    """A GET has no body and no headers about a body."""
    got = await sent(client.get(base_url))
    assert (got["method"], got["body"]) == ("GET", "")
    assert {"Content-Length", "Content-Type", "Referer"}.isdisjoint(got["headers"])


@pytest.mark.gen_test
async def test_head(client, http_server, base_url):
    """The response to a HEAD has headers and no content."""
    res = await client.head(base_url)
    assert (res.code, res.header("X-Method"), res.content) == (200, "HEAD", b"")


@pytest.mark.parametrize("fields", [{"a": 1, "b": "x y é"}, [("a", 1), ("b", "x y é")]])
@pytest.mark.parametrize("method", ["post", "put"])
@pytest.mark.gen_test
async def test_form(client, http_server, base_url, method, fields):
    """A dict or a list of pairs is sent as a form in UTF-8."""
    got = await sent(getattr(client, method)(base_url, fields))
    assert (got["method"], got["body"]) == (method.upper(), "a=1&b=x+y+%C3%A9")
    assert got["headers"]["Content-Type"] == FORM
    assert got["form"] == {"a": ["1"], "b": ["x y é"]}


@pytest.mark.gen_test
async def test_repeated_form_fields(client, http_server, base_url):
    """A field with a list of values is sent once for each value."""
    assert (await sent(client.post(base_url, {"a": [1, 2]})))["form"] == {"a": ["1", "2"]}


@pytest.mark.parametrize("body", ['{"é": 1}', '{"é": 1}'.encode()])
@pytest.mark.gen_test
async def test_raw_body(client, http_server, base_url, body):
    """Text and bytes are sent unchanged, with the given content type and the true length."""
    headers = {"content-type": "application/json", "Content-Length": 99}
    got = await sent(client.put(base_url, body, headers=headers))
    assert got["body"] == '{"é": 1}'
    assert got["headers"]["Content-Type"] == "application/json"
    assert got["headers"]["Content-Length"] == "9"


@pytest.mark.parametrize("method", ["post", "put"])
@pytest.mark.gen_test
async def test_no_body(client, http_server, base_url, method):
    """A POST or PUT without a body has a Content-Length of 0."""
    got = await sent(getattr(client, method)(base_url))
    assert (got["headers"]["Content-Length"], got["headers"]["Content-Type"]) == ("0", FORM)


@pytest.mark.gen_test
async def test_delete(client, http_server, base_url):
    """`delete` sends a DELETE."""
    assert (await sent(client.delete(base_url)))["method"] == "DELETE"


@pytest.mark.parametrize("method", ["PATCH", "PURGE"])
@pytest.mark.gen_test
async def test_any_method(client, http_server, base_url, method):
    """`request` can send any method."""
    got = await sent(client.request(method, base_url, {"a": "b"}))
    assert (got["method"], got["form"].get("a")) == (method, ["b"])


@pytest.mark.gen_test
async def test_http_request(client, http_server, base_url):
    """`request` sends an `HTTPRequest` of Tornado with its options, and does not change it."""
    request = HTTPRequest(
        base_url, "POST", {"X-A": "1"}, "b", auth_username="me", user_agent="mine"
    )
    for _ in range(2):
        got = await sent(client.request(request))
        assert (got["method"], got["body"], got["headers"]["X-A"]) == ("POST", "b", "1")
        assert got["headers"]["Authorization"] == "Basic bWU6"
        assert got["headers"]["User-Agent"] == "mine"
    assert dict(request.headers) == {"X-A": "1"}


@pytest.mark.gen_test
async def test_mistakes_raise_at_the_call(client):
    """A mistake in the arguments raises an exception that names the mistake."""
    url = "http://127.0.0.1:1/"
    with pytest.raises(
        TypeError, match=r"not a callback: {'X': '1'} \(headers are given as headers="
    ):
        client.get(url, {"X": "1"})
    with pytest.raises(TypeError, match="not an option of this request: header"):
        client.get(url, header={"X": "1"})
    with pytest.raises(TypeError, match="must be a str, not None"):
        client.get(None)
    with pytest.raises(TypeError, match="header 'X' takes a str or a number, not list"):
        client.get(url, headers={"X": ["1", "2"]})
    with pytest.raises(ValueError, match="form field 'a' is None"):
        client.post(url, {"a": None})
    with pytest.raises(ValueError, match="not an HTTP method: 'GET / HTTP"):
        client.request("GET / HTTP/1.1\r\nX: 1", url)
    with pytest.raises(ValueError, match="more than 0 seconds, not 0"):
        client.get(url, timeout=0)
    with pytest.raises(ValueError, match="to stream an answer"):
        client.request(HTTPRequest(url, streaming_callback=print))


def test_no_loop(client):
    """A call without a running event loop raises a RuntimeError, and logs no warning."""
    with pytest.raises(RuntimeError, match="needs a running loop"):
        client.get("http://127.0.0.1:1/")
