"""`decompress_request`: bodies with `Content-Encoding: gzip`."""

import gzip

import pytest
from support.wire import read_reply
from tornado.web import Application, RequestHandler, stream_request_body


class Echo(RequestHandler):
    def post(self):
        self.set_header("Was", self.request.headers.get("X-Consumed-Content-Encoding", "plain"))
        self.write(self.request.body)


@stream_request_body
class Streamed(RequestHandler):
    def initialize(self):
        self.sizes = []

    def data_received(self, chunk):
        self.sizes.append(len(chunk))

    def post(self):
        self.write({"most": max(self.sizes), "sum": sum(self.sizes)})


@pytest.fixture
def app():
    return Application([("/", Echo), ("/streamed", Streamed)])


@pytest.fixture
def server_options():
    return {"decompress_request": True, "max_body_size": 100_000, "chunk_size": 4096}


@pytest.fixture
def post(connect):
    async def post(body, path="/", coding="gzip", chunked=False):
        length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Encoding: {coding}\r\n{length}\r\n\r\n"
        if chunked:
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        return await connect(head.encode() + body)

    return post


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("coding", ["gzip", "GZip"])
@pytest.mark.gen_test
async def test_inflated(post, coding, chunked):
    data = bytes(range(256)) * 300
    reply = await read_reply(await post(gzip.compress(data), coding=coding, chunked=chunked))
    assert (reply.status, reply.body, reply.headers["was"]) == (200, data, coding)


@pytest.mark.gen_test
async def test_streamed(post):
    """A handler gets the body in pieces of at most `chunk_size` bytes."""
    reply = await read_reply(await post(gzip.compress(b"a" * 50_000), "/streamed"))
    assert reply.body == b'{"most": 4096, "sum": 50000}'


@pytest.mark.gen_test
async def test_another_coding(post):
    """A body with another coding is passed on as it is."""
    reply = await read_reply(await post(b"abc", coding="br"))
    assert (reply.body, reply.headers["was"]) == (b"abc", "plain")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"no gzip", id="no gzip"),
        pytest.param(gzip.compress(b"cut off")[:-1], id="cut off"),
        pytest.param(gzip.compress(b"more") + b"\0", id="more"),
        pytest.param(gzip.compress(b"0" * 1_000_000), id="large"),
    ],
)
@pytest.mark.parametrize("path", ["/", "/streamed"])
@pytest.mark.gen_test
async def test_refused(post, path, body):
    """A body that is not gzip, or inflates beyond the limit, is refused."""
    client = await post(body, path)
    assert await client.read_all() == b"HTTP/1.1 400 Bad Request\r\n\r\n"
