"""The attributes of Plack's request, which exist in addition to those of Tornado's."""

import json

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from tatsumaki_py import Application, Handler, Request

NAMES = {
    "user_agent": "me",
    "referer": "http://example.com/",
    "content_type": "application/x-www-form-urlencoded; charset=utf-8",
    "content_length": 15,
    "path_info": "/caf\u00e9/a b+c",
    "query_string": "a=%E2%98%83&a=2",
    "request_uri": "/caf%C3%A9/a%20b+c?a=%E2%98%83&a=2",
    "scheme": "http",
    "secure": False,
}
FILE = (
    b'--B\r\nContent-Disposition: form-data; name="f"; filename="%d.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\n%d\r\n"
)


class Names(Handler):
    def prepare(self):
        request = self.request
        self.write({name: getattr(request, name) for name in NAMES})
        assert request.content == request.raw_body == request.body
        assert request.header("user-agent") == request.header("User-Agent") == request.user_agent
        assert request.header("X-None") is None
        self.finish()

    get = post = lambda self: None


class Fields(Handler):
    def post(self):
        request = self.request
        query, body = request.query_parameters, request.body_parameters
        self.write(
            [request.param(), dict(query), dict(body), request.upload(), len(request.content)]
        )
        assert request.upload("none") is None
        assert [upload.body for upload in request.uploads.get_all("f")] == [b"1", b"2"]
        assert request.upload("f") is request.uploads["f"]
        assert request.upload("f").filename == "2.txt"


class Own(Handler):
    def get(self):
        for name in (*NAMES, "content", "raw_body", "env", "header", "upload"):
            setattr(self.request, name, f"my {name}")
            assert getattr(self.request, name) == f"my {name}"


@pytest.fixture
def app():
    return Application([("/fields", Fields), ("/own", Own), ("/.*", Names)])


@pytest.mark.gen_test
async def test_names(fetch):
    """Each attribute means what it means in Plack; text is decoded."""
    headers = {"User-Agent": "me", "Referer": "http://example.com/"}
    headers["Content-Type"] = "application/x-www-form-urlencoded; charset=utf-8"
    path = NAMES["request_uri"]
    answer = await fetch(path, method="POST", headers=headers, body="b=%E2%98%83&a=3")
    assert json.loads(answer.body) == NAMES


@pytest.mark.gen_test
async def test_nothing_sent(ask):
    """An attribute for something that the client did not send is None or empty."""
    client = await ask("GET / HTTP/1.0")
    body = (await client.read_all()).partition(b"\r\n\r\n")[2]
    sent = {"path_info": "/", "query_string": "", "request_uri": "/", "scheme": "http"}
    assert json.loads(body) == dict.fromkeys(NAMES) | sent | {"secure": False}


@pytest.mark.gen_test
async def test_fields(fetch):
    """`query_parameters` and `body_parameters` are separate; `param()` lists the names of both."""
    body = b'--B\r\nContent-Disposition: form-data; name="b"\r\n\r\n3\r\n'
    body += FILE % (1, 1) + FILE % (2, 2) + b"--B--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=B"}
    answer = await fetch("/fields?a=1&a=2&b=q", method="POST", headers=headers, body=body)
    fields = [["a", "b"], {"a": "2", "b": "q"}, {"b": "3"}, ["f"], len(body)]
    assert json.loads(answer.body) == fields


@pytest.mark.gen_test
async def test_own_attributes(fetch):
    """A program can assign its own values to any of these attributes of a request."""
    assert (await fetch("/own")).code == 200


def test_bad_bytes_and_https():
    """Invalid UTF-8 in a path becomes U+FFFD; `secure` and `scheme` follow `protocol`."""
    line = RequestStartLine("GET", "/a%FF%zz%00", "HTTP/1.1")
    request = HTTPServerRequest(start_line=line, headers=HTTPHeaders({"Host": "x"}))
    Request.adopt(request)
    assert request.path_info == "/a\ufffd%zz\0"
    request.protocol = "https"
    assert (request.scheme, request.secure) == ("https", True)


def test_no_name_of_tornado_is_replaced():
    """Only `_parse_body`, which Tornado calls, and `request_time` replace a method of Tornado."""
    ours = {name for name in vars(Request) if not name.startswith("__")}
    line = RequestStartLine("GET", "/", "HTTP/1.1")
    theirs = HTTPServerRequest(start_line=line, headers=HTTPHeaders({"Host": "x"}))
    assert ours & set(dir(theirs)) == {"_parse_body", "request_time"}


def test_the_class_can_be_looked_at():
    """An attribute can be read from the class, as `help()` does, and has a docstring."""
    assert "not decoded" in Request.content.__doc__
