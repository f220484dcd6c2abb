"""The headers of requests and responses."""

import re

import pytest
from tornado.httputil import HTTPHeaders

from tatsumaki_py import HTTPClient


@pytest.mark.gen_test
async def test_agent(answer, peer):
    """The User-Agent of a request is the package, the option `agent` or the request's header."""
    there = await peer(answer())
    await HTTPClient().get(there.url)
    await HTTPClient(agent="mine/1").get(there.url)
    await HTTPClient(agent="mine/1").get(there.url, headers={"user-agent": "yours/2"})
    agents = [re.findall(rb"(?i)^user-agent: (.*)\r$", r, re.M) for r in there.requests]
    assert re.fullmatch(rb"tatsumaki_py/\d+\.\d+\.\d+", agents[0][0])
    assert agents[1:] == [[b"mine/1"], [b"yours/2"]]


@pytest.mark.parametrize(
    "headers",
    [
        [("X-M", "1"), ("X-M", 2)],
        HTTPHeaders.parse("X-M: 1\r\nX-M: 2\r\n"),
    ],
)
@pytest.mark.gen_test
async def test_repeated(client, answer, peer, headers):
    """A header that is given twice is sent twice, and no unexpected header is sent."""
    there = await peer(answer())
    await client.get(there.url, headers=headers)
    head = there.requests[0]
    assert re.findall(rb"X-M: (.)\r\n", head) == [b"1", b"2"]
    names = {line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:-2]}
    assert names == {b"x-m", b"host", b"connection", b"user-agent", b"accept-encoding"}


@pytest.mark.parametrize("text", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\x00b", "a\x7fb", "☃"])
@pytest.mark.gen_test
async def test_no_injection(client, text):
    """A header name or value with control characters raises a ValueError, which hides the value."""
    with pytest.raises(ValueError, match="header 'X-A' takes Latin-1 without control") as caught:
        client.get("http://127.0.0.1:1/", headers={"X-A": text})
    assert text not in str(caught.value)
    with pytest.raises(ValueError, match="not a header name"):
        client.get("http://127.0.0.1:1/", headers={text: "a"})


@pytest.mark.gen_test
async def test_length_cannot_be_faked(client, answer, peer):
    """The client sends the true length of a body, and ignores headers that contradict it."""
    there = await peer(answer())
    headers = {"Content-Length": "1", "Transfer-Encoding": "chunked"}
    await client.post(there.url, "abc", headers=headers)
    assert re.findall(rb"(?i)content-length: (.*)\r\n", there.requests[0]) == [b"3"]
    assert b"chunked" not in there.requests[0]
    await client.get(there.url, headers=headers)
    assert b"content-length" not in there.requests[1].lower()


@pytest.mark.gen_test
async def test_response_headers(client, answer, peer):
    """`header` ignores case, joins repeated headers, and returns None for a missing one."""
    lines = ["X-A: 1", "x-a: 2", "Set-Cookie: a=1; Expires=Wed, 09 Jun 2027 10:18:14 GMT"]
    there = await peer(answer("", *lines, "Set-Cookie: b=2", "X-Empty:"))
    res = await client.get(there.url)
    assert (res.header("X-A"), res.header("x-A"), res.header("X-B")) == ("1, 2", "1, 2", None)
    assert res.header("X-Empty") == ""
    assert res.headers.get_list("Set-Cookie")[1] == "b=2"


@pytest.mark.gen_test
async def test_url_is_sent_encoded(client, answer, peer):
    """Non-ASCII characters in a URL are encoded once, and the fragment is not sent."""
    there = await peer(answer())
    await client.get(f"{there.url}é%2F?q=%20☃#part")
    assert there.requests[0].startswith(b"GET /%C3%A9%2F?q=%20%E2%98%83 HTTP/1.1\r\n")
    await client.get(there.url.rstrip("/") + "?q")
    assert there.requests[1].startswith(b"GET /?q HTTP/1.1\r\n")
