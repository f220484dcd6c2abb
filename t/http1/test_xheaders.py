"""The client's address and protocol from the headers of a proxy."""

import pytest
from support.wire import read_reply
from tornado.escape import json_decode
from tornado.web import Application, RequestHandler


class Who(RequestHandler):
    def get(self):
        self.write({"who": [self.request.remote_ip, self.request.protocol]})


@pytest.fixture
def app():
    return Application([("/", Who)])


@pytest.fixture
def server_options():
    return {"xheaders": True, "trusted_downstream": ["10.0.0.1", "fd00::1"]}


ME = "127.0.0.1"


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ([], ME),
        (["X-Real-IP: 1.2.3.4"], "1.2.3.4"),
        (["X-Real-IP: 1.2.3.4:5678"], "1.2.3.4"),
        (["X-Real-IP: [2001:db8::1]"], "2001:db8::1"),
        (["X-Real-IP: [2001:db8::1]:443"], "2001:db8::1"),
        (["X-Real-IP: 2001:db8::1"], "2001:db8::1"),
        (["X-Forwarded-For: 9.9.9.9, 1.2.3.4:80"], "1.2.3.4"),
        (["X-Forwarded-For: 9.9.9.9, 1.2.3.4, 10.0.0.1"], "1.2.3.4"),
        (["X-Forwarded-For: 9.9.9.9, [2001:db8::1]:1, 10.0.0.1:2, [fd00::1]:3"], "2001:db8::1"),
        (["X-Forwarded-For: 9.9.9.9", "X-Forwarded-For: 1.2.3.4"], "1.2.3.4"),
        (["X-Forwarded-For: 9.9.9.9", "X-Real-Ip: 1.2.3.4"], "1.2.3.4"),
        (["X-Real-IP: 1.2.3.4<script>"], ME),
        (["X-Real-IP: example.com:80"], ME),
        (["X-Real-IP: []"], ME),
        (["X-Real-IP: [1.2.3.4"], ME),
        (["X-Forwarded-For:"], ME),
        (["X-Forwarded-For: unknown"], ME),
    ],
)
@pytest.mark.gen_test
async def test_address(connect, fields, address):
    """The address belongs to the request, not to the connection."""
    client = await connect("\r\n".join(["GET / HTTP/1.1", "Host: x", *fields, "", ""]).encode())
    assert json_decode((await read_reply(client)).body)["who"] == [address, "http"]
    await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert json_decode((await read_reply(client)).body)["who"] == [ME, "http"]


@pytest.mark.parametrize(
    ("field", "protocol"),
    [
        ("X-Scheme: https", "https"),
        ("X-Forwarded-Proto: https", "https"),
        ("X-Forwarded-Proto: http, https", "https"),
        ("X-Forwarded-Proto: gopher", "http"),
    ],
)
@pytest.mark.gen_test
async def test_protocol(connect, field, protocol):
    client = await connect(f"GET / HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n".encode())
    assert json_decode((await read_reply(client)).body)["who"] == [ME, protocol]


@pytest.mark.parametrize("server_options", [{}, {"protocol": "https"}])
@pytest.mark.gen_test
async def test_not_trusted(connect, server_options):
    """Without `xheaders`, these headers are ignored."""
    client = await connect(
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Real-IP: 1.2.3.4\r\nX-Scheme: gopher\r\n\r\n"
    )
    who = json_decode((await read_reply(client)).body)["who"]
    assert who == [ME, server_options.get("protocol", "http")]
