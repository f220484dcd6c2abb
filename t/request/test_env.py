"""`request.env`: the request as a PSGI environment."""

import json
import socket

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from tatsumaki_py import Application, Handler, Request


class Env(Handler):
    def post(self, *args):
        env = self.request.env
        body = env["psgi.input"].read().decode()
        self.write({**env, "psgi.input": body})

    def get(self, *args):
        with pytest.raises(TypeError):
            self.request.env["REQUEST_METHOD"] = "PUT"


class Stream(Handler):
    async def get(self):
        await self.stream_write("a")
        self.write({"server": self.request.env["SERVER_NAME"] + self.request.env["SERVER_PORT"]})


@pytest.fixture
def app():
    return Application([("/stream", Stream), ("/.*", Env)])


@pytest.mark.gen_test
async def test_env(ask, http_port):
    """`env` has the keys of PSGI. Names of headers are in capitals; repeated headers are joined. A
    header with an underscore in its name is left out, so that it cannot pass for another one."""
    headers = ["X-Two: 1", "X-Two: 2", "X_Two: 3", "Content-Type: text/plain", "Connection: close"]
    client = await ask("POST /caf%C3%A9?a=%20", *headers, "Host_: evil", body="body")
    env = json.loads((await client.read_all()).partition(b"\r\n\r\n")[2])
    assert env == {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/caf\u00e9",
        "REQUEST_URI": "/caf%C3%A9?a=%20",
        "QUERY_STRING": "a=%20",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(http_port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "4",
        "HTTP_HOST": "localhost",
        "HTTP_CONNECTION": "close",
        "HTTP_X_TWO": "1, 2",
        "psgi.version": [1, 1],
        "psgi.url_scheme": "http",
        "psgi.input": "body",
        "psgi.multithread": False,
        "psgi.multiprocess": False,
        "psgi.run_once": False,
        "psgi.nonblocking": True,
        "psgi.streaming": True,
    }


@pytest.mark.gen_test
async def test_read_only(fetch):
    """`env` is read-only, as a change to it would have no effect."""
    assert (await fetch("/")).code == 200


@pytest.mark.gen_test
async def test_in_a_stream(fetch):
    """After a stream has begun, the name and the port of the server come from the Host header."""
    assert (await fetch("/stream", headers={"Host": "Example.com:88"})).body == (
        b'a{"server":"example.com88"}'
    )


@pytest.mark.parametrize(("protocol", "port"), [("http", "80"), ("https", "443")])
def test_without_a_connection(protocol, port):
    """A request that was made by hand, or came through a Unix socket, has the default port."""
    line = RequestStartLine("GET", "/", "HTTP/1.1")
    request = HTTPServerRequest(start_line=line, headers=HTTPHeaders({"Host": "x"}))
    Request.adopt(request)
    request.protocol = protocol
    assert (request.env["SERVER_NAME"], request.env["SERVER_PORT"]) == ("x", port)
    ours, theirs = socket.socketpair()

    class Connection:
        class stream:
            socket = ours
            closed = staticmethod(lambda: False)

    request.connection = Connection()
    assert (request.env["SERVER_NAME"], request.env["SERVER_PORT"]) == ("x", port)
    ours.close()
    theirs.close()
