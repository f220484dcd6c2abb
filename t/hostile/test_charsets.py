"""Charsets that a client or a server names: Python's registry keeps every name it is asked for, so
only known names may reach it.
"""

import encodings
import time
from encodings.aliases import aliases

import pytest
from support.wire import read_head
from tornado.httputil import HTTPHeaders

from tatsumaki_py import Application, Handler, WebSocketHandler
from tatsumaki_py.charset import codec, names_charset
from tatsumaki_py.http_client_response import HTTPResponse

NAMES = ["unknown-{}", "utf" + "-" * 50 + "{}-8", "UTF-8-{}", "punycode{}", "x" * 3000 + "{}"]


class Upload(Handler):
    def post(self):
        self.write([upload.filename for upload in self.request.uploads.values()])


@pytest.fixture
def app():
    return Application([("/upload", Upload), ("/echo", Upload), ("/socket", WebSocketHandler)])


@pytest.fixture(autouse=True)
def nothing_is_kept():
    before = set(encodings._cache)
    yield
    # Python itself uses the first of these to decode such names.
    known = {"raw_unicode_escape", "iso_8859_1", *aliases.values()}
    assert set(encodings._cache) - before <= known


@pytest.mark.parametrize("name", NAMES)
def test_answers(name):
    """The charset of an answer is looked up in a fixed table."""
    for number in range(20):
        content_type = f"text/plain; charset={name.format(number)}"
        res = HTTPResponse(200, "", "", HTTPHeaders({"Content-Type": content_type}), b"\xc3\xa9")
        assert res.decoded_content == "é"


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("UTF-8", "utf_8"),
        ("iso-8859-1", "latin_1"),
        ("Latin1", "latin_1"),
        ("windows-1252", "cp1252"),
        ("Shift_JIS", "shift_jis"),
        ("koi8-u", "koi8_u"),
        ("base64", None),
        ("hex", None),
        ("idna", None),
        ("punycode", None),
        ("unicode_escape", None),
        ("undefined", None),
        ("", None),
    ],
)
def test_codec(charset, name):
    """Only the usual spellings of text encodings are accepted."""
    assert codec(charset) == name


def part(parameter):
    return (
        b"--B\r\nContent-Disposition: form-data; name=f%b\r\n\r\nhi\r\n--B--\r\n"
        % parameter.encode()
    )


@pytest.mark.parametrize(
    "parameter",
    [
        *(f"; filename*={name}''x" for name in NAMES),
        "; filename*=\"{}x''y\"",
        ";\r\n filename*={}x''y",
        "; filename*0*={}x''y",
        "; filename *= {}x''y",
        "; a*={}x''y; filename=z",
        "; filename*" + "9" * 5000 + "*=utf-8''y",
    ],
)
@pytest.mark.gen_test
async def test_forms(fetch, parameter):
    """A form whose names have another charset is refused."""
    headers = {"Content-Type": "multipart/form-data; boundary=B"}
    for number in range(3):
        body = part(parameter.replace("{}", str(number)))
        answer = await fetch("/upload", method="POST", headers=headers, body=body)
        assert (answer.code, answer.body) == (400, b"the names in a form must be in UTF-8")


@pytest.mark.parametrize(
    ("parameter", "name"),
    [
        ("; filename=a", "a"),
        ('; filename="a*b.txt"', "a*b.txt"),
        ("; filename*=UTF-8''%C3%A9", "é"),
        ("; filename=e; filename*=utf-8'en'%C3%A9", "é"),
        ("; filename*=iso-8859-1''%E9", "é"),
    ],
)
@pytest.mark.gen_test
async def test_names_of_files(fetch, parameter, name):
    """Names of files may be in UTF-8 or Latin-1, the charsets of RFC 5987."""
    headers = {"Content-Type": "multipart/form-data; boundary=B"}
    answer = await fetch("/upload", method="POST", headers=headers, body=part(parameter))
    assert answer.body.decode() == f'["{name}"]'


def test_large_forms():
    """A large form is checked quickly."""
    for body in (b"\n" * 2**24, b"\nContent-Disposition: x" * 2**19, b";*=" * 2**22):
        start = time.process_time()
        assert not names_charset(body)
        assert time.process_time() - start < 0.5


@pytest.mark.gen_test
async def test_extensions_of_websockets(http_server, http_port, raw):
    """An offer of a WebSocket extension that names a charset is ignored."""
    for number in range(3):
        client = await raw(http_port)
        lines = [
            "GET /socket HTTP/1.1",
            "Host: x",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            f"Sec-WebSocket-Extensions: permessage-deflate; a*=unknown-{number}''x",
        ]
        await client.send("\r\n".join([*lines, "", ""]).encode())
        assert (await read_head(client)).status == 101
