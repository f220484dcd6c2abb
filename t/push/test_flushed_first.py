"""A handler may send the head of its stream itself."""

import pytest

from tatsumaki_py import Application, Handler


class Flushed(Handler):
    async def get(self):
        self.multipart_xhr_push(True)
        await self.flush()
        await self.stream_write({"n": 1})


@pytest.fixture
def app():
    return Application([("/", Flushed)])


@pytest.mark.gen_test
async def test_it_begins(http_client, base_url):
    """The first bytes of the stream follow the head, as in any other stream."""
    body = (await http_client.fetch(base_url)).body
    boundary = body.partition(b"\n")[0]
    assert boundary.startswith(b"--")
    assert body.count(boundary) == 2
    assert b'{"n":1}' in body
