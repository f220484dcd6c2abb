"""The fixtures of pytest-tornado in coroutine tests."""

import asyncio

import pytest
import tornado.web


class Echo(tornado.web.RequestHandler):
    def get(self, text):
        self.write(text)


@pytest.fixture
def app():
    return tornado.web.Application([("/(.*)", Echo)])


@pytest.mark.gen_test
async def test_fixtures_share_the_running_loop(
    io_loop, http_server, http_client, base_url, http_port
):
    """An `async def` test runs on the loop of the fixtures' server and client."""
    assert io_loop.asyncio_loop is asyncio.get_running_loop()
    assert base_url == f"http://localhost:{http_port}"
    assert (await http_client.fetch(f"{base_url}/hello")).body == b"hello"


def test_time_out_is_set(request):
    """A test that hangs ends after 30 s, which is long enough for a busy machine."""
    assert request.config.getoption("async_test_timeout") == 30
