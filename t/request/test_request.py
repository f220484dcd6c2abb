"""The other attributes of a request that a handler reads."""

import json

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from tatsumaki_py import Application, Handler, Request


class Names(Handler):
    def get(self):
        request = self.request
        assert isinstance(request, Request)
        self.write(
            {
                "address": request.address,
                "method": request.method,
                "path": request.path,
                "agent": request.headers["user-agent"],
                "cookie": request.cookies["a"].value,
                "cursor": request.last_event_id,
            }
        )

    def post(self):
        upload = self.request.uploads["file"]
        self.write(
            [upload.filename, upload.content_type, upload.body.hex(), self.request.param("f")]
        )


@pytest.fixture
def app():
    return Application([("/.*", Names)])


@pytest.mark.gen_test
async def test_names(fetch):
    """Tornado's attributes keep their meaning; `address` is the address of the peer."""
    headers = {"User-Agent": "me", "Cookie": "a=b", "X-Forwarded-For": "1.2.3.4"}
    answer = json.loads((await fetch("/caf%C3%A9?x=1", headers=headers)).body)
    assert answer == {
        "address": "127.0.0.1",
        "method": "GET",
        "path": "/caf%C3%A9",
        "agent": "me",
        "cookie": "b",
        "cursor": None,
    }


@pytest.mark.gen_test
async def test_uploads(fetch):
    """A file of a form has a name, a type and bytes; a missing file is answered with 400."""
    body = (
        b'--B\r\nContent-Disposition: form-data; name="f"\r\n\r\ntext\r\n'
        b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n'
        b"Content-Type: image/png\r\n\r\n\xff\x00\r\n--B--\r\n"
    )
    headers = {"Content-Type": "multipart/form-data; boundary=B"}
    answer = await fetch("/", method="POST", headers=headers, body=body)
    assert json.loads(answer.body) == ["a.bin", "image/png", "ff00", "text"]
    answer = await fetch("/", method="POST", body="")
    assert (answer.code, answer.body) == (400, b"missing parameter: file")


@pytest.mark.parametrize(
    ("path", "headers", "cursor"),
    [
        ("/?last_event_id=2-0", {}, "2-0"),
        ("/?last_event_id=2-0", {"Last-Event-ID": "1-0"}, "1-0"),
        ("/?last_event_id=", {"Last-Event-ID": ""}, None),
        # The parameters that libraries send, also next to one that the page wrote into its URL.
        ("/?lastEventId=2-0", {}, "2-0"),
        ("/?lastEventId=2-0&last_event_id=1-0", {}, "2-0"),
        ("/?last_event_id=1-0&evs_last_event_id=2-0", {}, "2-0"),
        ("/?lastEventId=&last_event_id=2-0", {}, "2-0"),
        ("/?lastEventID=2-0", {}, "2-0"),
        ("/?Last-Event-ID=2-0", {}, "2-0"),
        ("/?Last-Event-Id=2-0", {}, "2-0"),
        ("/?last-event-id=2-0", {}, "2-0"),
        # Any text is accepted here: the queue checks cursors itself.
        ("/?lastEventId=%00%E2%98%83", {}, "\0\u2603"),
        ("/", {"Last-Event-ID": "x" * 10_000}, "x" * 8192),
    ],
)
@pytest.mark.gen_test
async def test_last_event_id(fetch, path, headers, cursor):
    """The cursor comes from the header or from a parameter; an empty cursor is ignored."""
    headers = {"User-Agent": "me", "Cookie": "a=b", **headers}
    assert json.loads((await fetch(path, headers=headers)).body)["cursor"] == cursor


def request(uri="/"):
    return HTTPServerRequest(
        start_line=RequestStartLine("GET", uri, "HTTP/1.1"), headers=HTTPHeaders({"Host": "x"})
    )


def test_adopt():
    """`adopt` turns a request into a `Request` in place; attributes of its own class are kept."""
    mine = request("/?a=1")
    Request.adopt(mine)
    Request.adopt(mine)
    assert type(mine) is Request
    assert mine.param("a") == "1"

    class Foreign(HTTPServerRequest):
        mark = "kept"

    for _ in range(2):
        other = request("/?a=2")
        other.__class__ = Foreign
        Request.adopt(other)
        assert isinstance(other, Request)
        assert isinstance(other, Foreign)
        assert (other.mark, other.param("a")) == ("kept", "2")
