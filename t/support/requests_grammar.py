"""Hypothesis strategies for requests that are valid, almost valid, or invalid."""

from dataclasses import dataclass
from itertools import pairwise

from hypothesis import strategies as st

CRLF = b"\r\n"


@dataclass
class Request:
    """The request that a client sends."""

    method: bytes = b"GET"
    gap: bytes = b" "
    target: bytes = b"/"
    version: bytes = b"HTTP/1.1"
    headers: tuple = ()
    body: bytes = b""
    end: bytes = CRLF
    before: bytes = b""

    def __bytes__(self):
        line = self.method + self.gap + self.target + b" " + self.version
        lines = [line, b"Host: x", *self.headers]
        return self.before + b"".join([one + CRLF for one in lines]) + self.end + self.body


METHODS = [
    b"HEAD", b"PUT", b"OPTIONS", b"DELETE", b"PATCH", b"TRACE", b"CONNECT", b"PRI", b"get", b"FOO",
    b"M-SEARCH", b"SOURCE", b"A" * 40, b"", b"G T", b"G\0T", b"G\tT", b"G(T", b"G\xe9T", b"GET:",
    b" GET", b"'*!", b"\x16\x03",
]  # fmt: skip
TARGETS = [
    b"*", b"/*", b"//x", b"//x/y?z", b"/a b", b"/\xff", b"/\xc3\xa9", b"/\x7f", b"/\x01", b"/\t",
    b"/\0", b"/#f", b"/?#", b'/?q="<>', b"/%zz", b"/%00", b"/\\", b"\\", b"/{}|^`", b"x", b"x:80",
    b"?", b"", b"#", b"http://h/x", b"HTTP://h:80/x?y", b"http://h", b"http://h?x", b"http://",
    b"http:///x", b"http://u@h/x", b"http://u:p@h/x", b"http://h:x/", b"http://[::1]:80/x",
    b"http://[::1/x", b"https://h/", b"ftp://h/x", b"http:/x", b"http:x", b"http://h/\xff",
    b"http://\xff/", b"h\0ttp://h/", b"javascript:1", b"http://h//x", b"http://h#x",
    b"http://h\\x/",
]  # fmt: skip
VERSIONS = [
    b"HTTP/1.0", b"HTTP/1.2", b"HTTP/1.9", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.", b"HTTP/1.1 ",
    b"HTTP/01.1", b"HTTP/1.10", b"HTTP/1", b"HTTP/11", b"HTTP/1,1", b"http/1.1", b"HTTPS/1.1",
    b"ICE/1.0", b"RTSP/1.0", b"", b"HTTP/1.1\t", b"HTTP/1.1\0", b"HTTP/1.1\r", b"HTTP/1.1 x",
    b"HTTP/\xb9.1",
]  # fmt: skip
NAMES = [
    b"X", b"x-a-b", b"X_Y", b"X.Y", b"!#$%&'*+-.^_`|~9", b"", b" ", b"X Y", b"X ", b" X", b"X\t",
    b"\tX", b"X\0", b"X\x0b", b"X\x7f", b"X\xe9", b"X(", b"X/", b'"X"', b"X;", b"@", b"HOST",
    b"Host", b"Accept", b"-", b"--", b"X" * 70, b"content-length ", b"content_length",
    b"x-HTTP-method", b"\xef\xbb\xbfX",
]  # fmt: skip
VALUES = [
    b"", b" ", b"a", b"a b", b" a ", b"\ta\t", b"a\tb", b"a,b", b'"', b"\0", b"a\0b", b"a\x01",
    b"a\x0b", b"a\x0c", b"a\x7f", b"\xff", b"\xc3\xa9", b"a\rb", b"a\nb", b"a\r\n b", b"a\r\n\tb",
    b"\r\n a", b"a\r\n ", b"a\r\n\r", b"a\r", b"a\n", b"a\r\r", b":", b"a:b", b"a" * 300, b"\x85",
    b"\xa0a\xa0", b"\x1c", b"\x0ba", b"a\x0c",
]  # fmt: skip
COLONS = [b":", b": ", b":\t", b":  \t ", b" :", b"\t:", b"::", b"", b"=", b":\r\n ", b"\r\n:"]
CONNECTIONS = [
    b"close", b"Close", b"keep-alive", b"Keep-Alive", b"close, x", b"x,close", b"close,keep-alive",
    b"keep-alive, close", b"x", b"", b"\tclose", b"clos", b'"close"',
    b"close\r\nConnection: keep-alive", b"keep-alive\r\nConnection: close", b"Upgrade",
    b"upgrade, close", b"Upgrade\r\nUpgrade: websocket",
    b"Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA",
    b"Upgrade\r\nUpgrade: x", b"close;x", b"close close",
]  # fmt: skip
EXPECTS = [
    b"100-continue", b"100-Continue", b"100-continue, x", b"x", b"", b"100-continue\r\nExpect: x",
]  # fmt: skip
LENGTHS = [
    b"+4", b"-4", b"4 ", b" 4", b"04", b"0x4", b"4,4", b"4, 4", b"4,5", b"4\r\nContent-Length: 4",
    b"4.0", b"4e0", b"", b" ", b"4_0", b"\xb2", b"4;x", b"4\t", b"\x0b4", b"4\x0b", b"4\x1c",
    b"4\xa0", b"99999999999999999999", b"18446744073709551620", b"4294967300", b"4\r\n 4",
    b"4\r\n ", b"\r\n 4", b"4\r\nContent-length: 0", b"4\r\nTransfer-Encoding: chunked",
    b"0\r\nTransfer-Encoding: chunked", b"4 4", b"9" * 5000, b"\r\nContent-Length: 4",
    b"4\r\nContent-Length : 5", b"4\r\nContent-Length\0: 5", b"4\r\nContent_Length: 5",
    b"4\r\nTransfer_Encoding: chunked", b"4\nContent-Length: 5",
]  # fmt: skip
CODINGS = [
    b"chunked", b"Chunked", b"CHUNKED", b" chunked", b"chunked ", b"chunked\t", b"\tchunked",
    b"chunked,", b",chunked", b"chunked, chunked", b"gzip, chunked", b"chunked, gzip", b"gzip",
    b"identity", b"xchunked", b"chunkedx", b"chunked;q=1", b'"chunked"', b"", b"chunked\x0b",
    b"\x0bchunked", b"chunked\x00", b"chunked\xa0", b"\xa0chunked", b"chunked\x1c", b"chunked\x7f",
    b"chunked\r\nTransfer-Encoding: chunked", b"chunked\r\nTransfer-Encoding: identity",
    b"identity\r\nTransfer-Encoding: chunked", b"chunked\r\nTransfer-Encoding:", b"\r\n chunked",
    b"chunked\r\n ", b"chunked\r\n x", b"x\r\n chunked", b"chunked\r\nContent-Length: 0",
    b"chunked\r\nContent-Length: 4", b"chunked\r\nContent_Length: 4", b"chun\0ked",
    b"chunked\nX: y", b"chunked\rX: y", b"chun ked", b"\x00chunked", b"chunk\xe9d",
    b"identity, chunked", b"x, chunked", b"chunked identity", b"chunked\r\nTE: x",
]  # fmt: skip
SIZES = [
    b"4", b"04", b"0004", b"4 ", b" 4", b"4\t", b"\t4", b"4;", b"4;x", b"4 ;x", b"4; x", b"4;x=y",
    b'4;x="y"', b'4;x="y;z"', b'4;x="\\""', b'4;x="', b'4;x="y', b"4;x=", b"4;=y", b"4;;",
    b"4;x\ty", b"4;x\0", b"4;x\x01", b"4;x\xff", b"4;x\n", b"4;x\r", b"4;x\ny", b"4\n", b"4\r",
    b"4\n\r\n", b"+4", b"-4", b"0x4", b"4x", b"4_", b"_4", b"4.0", b"g", b"", b" ", b"\xb2",
    b"4\0", b"\x004", b"4,", b"4:", b"4 4", b"00000000000000000000000000000000004",
    b"0" * 100 + b"4", b"10000000000000004", b"ffffffffffffffff", b"fffffffffffffffff",
    b"4;" + b"x" * 60, b"4;" + b"x" * 5000, b"4;a;b;c=d",
]  # fmt: skip
TRAILERS = [
    b"", b"X: y\r\n", b"X: y\r\nZ: z\r\n", b"Content-Length: 9\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Host: evil\r\n", b"X: y\n", b"X y\r\n", b"X\0: y\r\n",
    b"X: \0\r\n", b"X: a\r\n b\r\n", b" X: y\r\n", b": y\r\n", b"\n", b"\r", b"x",
    b"GET /1 HTTP/1.1\r\n", b"X:" + b"y" * 5000 + b"\r\n", b"X : y\r\n", b"X: y\r\r\n",
    b"X: \xff\r\n", b"Connection: close\r\n", b"Upgrade: x\r\n", b"X: y\r\n" * 200,
]  # fmt: skip
CHUNK_ENDS = [b"\r\n", b"\n", b"\r", b"", b"x\r\n", b"\r\n\r\n", b"\r\r\n", b" \r\n", b"\0\r\n"]
BODIES = [
    b"", b"a", b"abcd", b"\r\n", b"0\r\n\r\n", b"GET /in HTTP/1.1\r\nHost: x\r\n\r\n", b"\0\n\xff",
    b"x" * 3000,
]  # fmt: skip
ENDS = [
    b"\n", b"\r", b"\r\r\n", b"\n\r\n", b" \r\n", b"\0\r\n", b"\r\n\n", b"X\r\n\r\n",
    b" x: y\r\n\r\n", b"\t\r\n\r\n",
]  # fmt: skip
BEFORE = [
    b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"\r\n\n", b"\n\r\n", b"\r\r\n", b" ", b"\0", b"\r\n ",
    b"\t\r\n", b"\xef\xbb\xbf",
]  # fmt: skip


def chunked(data, size=None, end=CRLF, trailers=b"", last=b"0"):
    """`data` as one chunk."""
    size = b"%x" % len(data) if size is None else size
    chunk = size + CRLF + data + end if data else b""
    return chunk + last + CRLF + trailers + CRLF


def _header(name, values):
    return st.sampled_from(values).map(lambda value: b"%s: %s" % (name, value))


@st.composite
def sound(draw):
    """A request that every server must accept, and the body that the server must see."""
    target = draw(st.sampled_from([b"/", b"/x?y=z", b"/stream"]))
    headers = draw(
        st.lists(st.sampled_from([b"X: y", b"x-A: b,c", b"Cookie: a=b", b"Y:"]), max_size=2)
    )
    body = draw(st.sampled_from(BODIES))
    kind = draw(st.sampled_from(["none", "length", "chunks"]))
    if kind == "none":
        return Request(
            draw(st.sampled_from([b"GET", b"HEAD"])), target=target, headers=tuple(headers)
        ), b""
    if kind == "length":
        headers.append(b"Content-Length: %d" % len(body))
        return Request(b"POST", target=target, headers=tuple(headers), body=body), body
    headers.append(b"Transfer-Encoding: chunked")
    at = draw(st.integers(0, len(body)))
    data = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:at], body[at:]) if part)
    return Request(b"POST", target=target, headers=tuple(headers), body=data + b"0\r\n\r\n"), body


@st.composite
def odd(draw):
    """A request with one or two oddities."""
    body = draw(st.sampled_from(BODIES))
    request = Request(target=draw(st.sampled_from([b"/", b"/stream"])))
    headers = []
    kind = draw(st.sampled_from(["none", "length", "chunks"]))
    if kind != "none":
        request.method = b"POST"
    coding, length, chunks = b"chunked", b"%d" % len(body), chunked(body)
    for oddity in draw(st.lists(st.sampled_from(_ODDITIES), min_size=1, max_size=2)):
        match oddity:
            case "method":
                request.method = draw(st.sampled_from(METHODS))
            case "target":
                request.target = draw(st.sampled_from(TARGETS))
            case "version":
                request.version = draw(st.sampled_from(VERSIONS))
            case "gap":
                request.gap = draw(st.sampled_from([b"  ", b"\t", b"", b"\x0b", b"\r\n", b" \t"]))
            case "header":
                headers.append(
                    draw(st.sampled_from(NAMES))
                    + draw(st.sampled_from([*COLONS, b":", b": "]))
                    + draw(st.sampled_from(VALUES))
                )
            case "connection":
                headers.append(draw(_header(b"Connection", CONNECTIONS)))
            case "expect":
                headers.append(draw(_header(b"Expect", EXPECTS)))
            case "length":
                kind, length = "length", draw(st.sampled_from(LENGTHS))
                body = b"abcd"
            case "coding":
                kind, coding = "chunks", draw(st.sampled_from(CODINGS))
            case "size":
                kind, chunks = "chunks", chunked(b"abcd", size=draw(st.sampled_from(SIZES)))
            case "last size":
                kind, chunks = (
                    "chunks",
                    chunked(body, last=draw(st.sampled_from([*SIZES, b"00", b"0;x"]))),
                )
            case "trailers":
                kind, chunks = "chunks", chunked(body, trailers=draw(st.sampled_from(TRAILERS)))
            case "chunk end":
                kind, chunks = "chunks", chunked(b"abcd", end=draw(st.sampled_from(CHUNK_ENDS)))
            case "end":
                request.end = draw(st.sampled_from(ENDS))
            case "before":
                request.before = draw(st.sampled_from(BEFORE))
    if kind == "length":
        headers.append(b"Content-Length: " + length)
        request.body = body
    elif kind == "chunks":
        headers.append(b"Transfer-Encoding: " + coding)
        request.body = chunks
    request.headers = tuple(draw(st.permutations(headers)))
    return request


_ODDITIES = [
    "method", "target", "version", "gap", "header", "header", "connection", "expect", "length",
    "coding", "size", "last size", "trailers", "chunk end", "end", "before",
]  # fmt: skip


@st.composite
def pieces(draw, data):
    """`data` as it may arrive: in up to four pieces."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=3)))
    ends = [0, *cuts, len(data)]
    return [data[a:b] for a, b in pairwise(ends) if a < b]


@st.composite
def mutated(draw):
    """Valid requests in which a few bytes have been replaced, added, removed or repeated."""
    data = bytearray(
        b"".join(bytes(one) for one, _ in draw(st.lists(sound(), min_size=1, max_size=2)))
    )
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        byte = draw(st.sampled_from(b'\0\t\n\x0b\r !",/0159:;=ATaefg\x7f\x80\xff'))
        match draw(st.sampled_from(["replace", "add", "take", "twice", "cut"])):
            case "replace":
                data[at : at + 1] = bytes([byte])
            case "add":
                data[at:at] = bytes([byte])
            case "take":
                del data[at : at + 1]
            case "twice":
                size = draw(st.integers(1, 20))
                data[at:at] = data[at : at + size]
            case "cut":
                del data[at:]
    return bytes(data)
