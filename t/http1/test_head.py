"""The heads of requests: which ones are accepted, and what they mean."""

import pytest
from tornado.httputil import HTTPHeaders, HTTPInputError

from tatsumaki_py.http1.head import parse


def head(first=b"GET / HTTP/1.1", *lines):
    return b"\r\n".join((first, b"Host: x", *lines, b"", b""))


def test_first_line():
    parsed = parse(head(b"PROPFIND /caf\xc3\xa9?a=b%20c HTTP/1.0"))
    assert tuple(parsed.start_line) == ("PROPFIND", "/caf\xc3\xa9?a=b%20c", "HTTP/1.0")


@pytest.mark.parametrize(
    "line",
    [
        b"GET /",
        b"GET  / HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b" GET / HTTP/1.1",
        b"GET / HTTP/2.0",
        b"GET / HTTP/0.9",
        b"GET / http/1.1",
        b"G(T / HTTP/1.1",
        b"GET /a b HTTP/1.1",
        b"GET /a\0b HTTP/1.1",
        b"GET /\x7f HTTP/1.1",
        b"GET\t/ HTTP/1.1",
        b"",
    ],
)
def test_refused_first_lines(line):
    with pytest.raises(HTTPInputError):
        parse(head(line))


def test_headers():
    """The headers equal those that `HTTPHeaders` parses from the same lines."""
    lines = [b"x-LONG-name: a", b"Accept:b \t", b"accept: c, d", b"Empty:", b"Caf: caf\xe9"]
    headers = parse(head(b"GET / HTTP/1.1", *lines)).headers
    expected = HTTPHeaders.parse("Host: x\r\n" + b"\r\n".join(lines).decode("latin-1") + "\r\n")
    assert type(headers) is HTTPHeaders
    assert list(headers.get_all()) == list(expected.get_all())
    assert headers["ACCEPT"] == "b,c, d"
    headers.add("Accept", "e")
    del headers["Empty"]
    assert headers.get_list("accept") == ["b", "c, d", "e"]
    assert "Empty" not in headers


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"A: b\r\n c", "folding"),
        (b"A: b\n", None),
        (b"A: b\rc", None),
        (b"A: b\0c", "Invalid header value"),
        (b"A : b", "Invalid header name"),
        (b": b", "Invalid header name"),
        (b"A", "no colon"),
        (b"A\xe9: b", "Invalid header name"),
        (b"Content-Length: +1", "Only integer Content-Length"),
        (b"Content-Length: 1_0", "Only integer Content-Length"),
        (b"Content-Length: \xb2", None),
        (b"Content-Length: ", "Only integer Content-Length"),
        (b"Content-Length: 1\r\nContent-Length: 1", None),
        (b"Content-Length: 1, 1", "Only integer Content-Length"),
        (b"Content-Length: 99999999999999999999999", None),
        (b"Content-Length: 1\r\nTransfer-Encoding: chunked", "both"),
        (b"Transfer-Encoding: gzip, chunked", "Unsupported Transfer-Encoding"),
        (b"Transfer-Encoding: chunked, gzip", "Unsupported Transfer-Encoding"),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", None),
        (b"Transfer-Encoding: xchunked", "Unsupported Transfer-Encoding"),
        (b"Transfer-Encoding: identity", "Unsupported Transfer-Encoding"),
    ],
)
def test_refused_headers(line, reason):
    with pytest.raises(HTTPInputError, match=reason):
        parse(head(b"POST / HTTP/1.1", line))


def test_no_chunks_in_http_1_0():
    with pytest.raises(HTTPInputError, match=r"HTTP/1\.0"):
        parse(head(b"POST / HTTP/1.0", b"Transfer-Encoding: chunked"))


def test_bodies():
    assert parse(head()).length == 0
    assert parse(head(b"POST / HTTP/1.1", b"Content-Length: 007")).length == 7
    assert not parse(head(b"POST / HTTP/1.1", b"Content-Length: 7")).chunked
    assert parse(head(b"POST / HTTP/1.1", b"Transfer-Encoding: Chunked")).chunked


def test_upgrade():
    """llhttp stops at an upgrade, but the body is still read."""
    lines = [b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"Content-Length: 3"]
    parsed = parse(head(b"POST / HTTP/1.1", *lines))
    assert (parsed.length, parsed.keep_alive) == (3, True)
    assert parsed.headers["Upgrade"] == "h2c"


@pytest.mark.parametrize(
    ("version", "options", "keep_alive"),
    [
        (b"1.1", [], True),
        (b"1.1", [b"Connection: CLOSE"], False),
        (b"1.1", [b"Connection: TE, close"], False),
        (b"1.1", [b"Connection: TE", b"Connection: Close"], False),
        (b"1.1", [b"Connection: closed"], True),
        (b"1.0", [], False),
        (b"1.0", [b"Connection: Keep-Alive, TE"], True),
        (b"1.0", [b"Connection: keep-alive, close"], False),
    ],
)
def test_keep_alive(version, options, keep_alive):
    assert parse(head(b"GET / HTTP/" + version, *options)).keep_alive is keep_alive


@pytest.mark.parametrize("expect", [b"100-continue", b"100-Continue"])
def test_expect(expect):
    assert parse(head(b"POST / HTTP/1.1", b"Expect: " + expect)).expects
    assert not parse(head(b"POST / HTTP/1.0", b"Expect: " + expect)).expects


@pytest.mark.parametrize(
    ("target", "path", "host"),
    [
        (b"http://a.example:80/b?c#d", "/b?c#d", "a.example:80"),
        (b"HTTPS://a.example", "/", "a.example"),
        (b"http://a.example?b=/", "/?b=/", "a.example"),
        (b"ftp://a.example/b", "ftp://a.example/b", "x"),
        (b"*", "*", "x"),
        (b"a.example:443", "a.example:443", "x"),
        (b"//a.example/b", "//a.example/b", "x"),
    ],
)
def test_targets(target, path, host):
    parsed = parse(head(b"GET %b HTTP/1.1" % target))
    assert (parsed.start_line.path, parsed.headers["Host"]) == (path, host)
