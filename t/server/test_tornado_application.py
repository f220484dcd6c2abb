"""A plain `tornado.web.Application` on the fast server: its requests are made in fewer steps."""

import pytest
from tornado.httputil import HTTPServerRequest
from tornado.routing import Router
from tornado.web import Application, RequestHandler

from tatsumaki_py.request_delegate import TornadoApplication
from tatsumaki_py.server.fast_server import FastServer

seen = []


class Look(RequestHandler):
    async def get(self, name):
        seen.append(self.request)
        self.write(f"{name} {self.get_argument('a')}")


class Refused(RequestHandler):
    def get(self):
        raise KeyError("on purpose")


class Own(Application):
    """An application that overrides `start_request`."""

    def start_request(self, server_conn, request_conn):
        seen.append("own")
        return super().start_request(server_conn, request_conn)


@pytest.fixture(params=[Application, Own])
def app(request):
    seen.clear()
    return request.param([(r"/look/(\w+)", Look), ("/refused", Refused)])


@pytest.fixture
def http_server_class():
    return FastServer


@pytest.mark.gen_test
async def test_requests(http_server, http_client, base_url, app, expect_log):
    answer = await http_client.fetch(f"{base_url}/look/me?a=b")
    assert answer.body == b"me b"
    assert type(seen[-1]) is HTTPServerRequest
    assert 0 <= seen[-1].request_time() < 60
    assert (seen[0] == "own") is isinstance(app, Own)
    assert isinstance(http_server.request_callback, TornadoApplication) is not isinstance(app, Own)
    missing = await http_client.fetch(f"{base_url}/nothing", raise_error=False)
    assert missing.code == 404
    with expect_log("tornado.application", "Uncaught exception GET /refused"):
        refused = await http_client.fetch(f"{base_url}/refused", raise_error=False)
    assert refused.code == 500


def test_any_router():
    """The server wraps a router, but not a plain callable."""

    def answer(request):
        pass

    assert FastServer(answer).request_callback is answer
    assert isinstance(FastServer(Router()).request_callback, TornadoApplication)
