"""Output transforms of a program apply to the headers of streams."""

import pytest
import tornado.web
from support.wire import read_chunk, read_head

from tatsumaki_py import Application, Handler

chunks = []


class Shouting(tornado.web.OutputTransform):
    def transform_first_chunk(self, status_code, headers, chunk, finishing):
        chunks.append(chunk)
        headers["X-Shouting"] = "yes"
        return status_code, headers, chunk.upper()


class Stream(Handler):
    asynchronous = True

    def get(self):
        self.server_sent_events(True)


@pytest.fixture
def app():
    chunks.clear()
    return Application([("/", Stream)], transforms=[Shouting])


@pytest.mark.gen_test
async def test_stream(ask):
    """A transform sees the headers of a stream, but not its body."""
    client = await ask("GET /")
    head = await read_head(client)
    assert head.headers["x-shouting"] == "yes"
    assert (await read_chunk(client)).startswith(b"retry: ")
    assert chunks == [b""]
    client.close()
