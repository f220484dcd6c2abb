"""The content of a response."""

import gzip
import time

import pytest
from tornado.httputil import HTTPHeaders

from tatsumaki_py import HTTPClient
from tatsumaki_py.http_client import HTTPResponse


def response(content, content_type):
    headers = HTTPHeaders({} if content_type is None else {"Content-Type": content_type})
    return HTTPResponse(200, "OK", "http://x/", headers, content)


@pytest.mark.parametrize(
    ("content", "content_type", "text"),
    [
        ("é".encode(), None, "é"),
        ("é".encode(), "text/plain", "é"),
        ("é".encode("latin-1"), "text/plain; charset=iso-8859-1", "é"),
        ("é".encode("latin-1"), 'TEXT/HTML; a=b;CHARSET="ISO-8859-1"', "é"),
        ("я".encode("koi8-r"), "text/html;charset=koi8-r; x=y", "я"),
        (b"\xe9", "text/plain; charset=utf-8", "\ufffd"),
        ("é".encode(), "text/plain; charset=nonsense", "é"),
        ("é".encode(), "text/plain; charset=", "é"),
        (b"x", "text/plain; charset=zlib", "x"),
        (b"x", "text/plain; charset=undefined", "x"),
        (b"\\x41", "text/plain; charset=unicode_escape", "\\x41"),
        (b"x", "application/json; xcharset=utf-16", "x"),
    ],
)
def test_decoded_content(content, content_type, text):
    """Content is decoded with its charset, or as UTF-8, and never raises an exception."""
    res = response(content, content_type)
    assert (res.decoded_content, res.content) == (text, content)


def test_no_slow_codec():
    """A peer cannot make the client use a codec that takes quadratic time."""
    start = time.monotonic()
    text = response(b"a" * 2_000_000 + b"-" + b"z9" * 50_000, "text/plain; charset=punycode")
    assert text.decoded_content.startswith("aaa")
    assert time.monotonic() - start < 2


def test_short_repr():
    """The `repr` of a response does not include the content."""
    res = response(b"secret" * 1000, None)
    assert repr(res) == "HTTPResponse(code=200, message='OK', url='http://x/')"


@pytest.mark.parametrize("code", [200, 204, 299])
def test_success(code):
    """A 2xx is a success; a 3xx is neither a success nor an error."""
    assert HTTPResponse(code, "", "").is_success
    assert not HTTPResponse(code, "", "").is_error
    assert not HTTPResponse(code + 100, "", "").is_success
    assert not HTTPResponse(code + 100, "", "").is_error


@pytest.mark.gen_test
async def test_chunked_and_gzip(client, answer, peer):
    """Chunked and gzipped content is decoded."""
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    zipped = answer(gzip.compress(b"abc"), "Content-Encoding: gzip")
    there = await peer(chunked, zipped)
    assert (await client.get(there.url)).content == b"abc"
    assert (await client.get(there.url)).content == b"abc"


@pytest.mark.gen_test
async def test_until_close(client, peer):
    """An answer without a length ends when the connection does."""
    there = await peer(b"HTTP/1.0 200 OK\r\n\r\nabc")
    assert (await client.get(there.url)).content == b"abc"


@pytest.mark.gen_test
async def test_interim_answer(client, answer, peer):
    """A 1xx and its headers are ignored; the final answer is returned."""
    there = await peer(b"HTTP/1.1 103 Early Hints\r\nX-A: early\r\n\r\n" + answer("abc"))
    res = await client.get(there.url)
    assert (res.code, res.content, res.header("X-A")) == (200, b"abc", None)


@pytest.mark.gen_test
async def test_head_of_something_large(answer, peer):
    """A HEAD whose answer has a large Content-Length succeeds, without content."""
    there = await peer(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n")
    res = await HTTPClient(max_body_size=10).head(there.url)
    assert (res.code, res.content, res.header("Content-Length")) == (200, b"", "999999999999")


def large(kind, answer):
    return {
        "length": answer(b"x" * 11),
        "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n" + b"x" * 11,
        "close": b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 11,
        "gzip": answer(gzip.compress(b"x" * 100_000), "Content-Encoding: gzip"),
    }[kind]


@pytest.mark.parametrize("kind", ["length", "chunked", "close", "gzip"])
@pytest.mark.gen_test
async def test_too_large(answer, peer, kind):
    """Content larger than `max_body_size` results in a 597, and the connection is closed."""
    there = await peer(large(kind, answer), close=False)
    res = await HTTPClient(max_body_size=10).get(there.url)
    assert (res.status_line, res.content) == ("597 Answer larger than 10 bytes", b"")
    await there.left.wait()


@pytest.mark.gen_test
async def test_just_fits(answer, peer):
    """Content of exactly `max_body_size` bytes is accepted."""
    there = await peer(answer("x" * 10))
    assert (await HTTPClient(max_body_size=10).get(there.url)).content == b"x" * 10
