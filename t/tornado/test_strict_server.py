"""Tornado's own tests, on `StrictServer`."""

import pytest
from support import tornado_tests
from support.tornado_tests import patience, server_under_test  # noqa: F401
from tornado.httpserver import HTTPServer
from tornado.web import Application

from tatsumaki_py.server.http_server import StrictServer

SERVER = StrictServer

LEFT_OUT = {
    "HTTPConnectionTest.test_newlines": "a bare LF ends no line: 400",
    "HTTPServerRawTest.test_chunked_request_body_duplicate_header": (
        "its lines end with bare LF: 400 with another log line"
    ),
    "HTTPServerRawTest.test_chunked_request_body_transfer_encoding_and_content_length": (
        "its lines end with bare LF: 400 with another log line"
    ),
    "HTTPServerRawTest.test_chunked_request_body_unsupported_transfer_encoding": (
        "its lines end with bare LF: 400 with another log line"
    ),
    "HTTPServerRawTest.test_content_length_list_whitespace": (
        "no list of lengths is accepted: 400 with another log line"
    ),
    "KeepAliveTest.test_keepalive_chunked": "HTTP/1.0 has no chunks: 400",
    "SSLTest.test_error_logging": "a TLS handshake that fails is logged at level DEBUG",
    "SSLTest.test_non_ssl_request": "a TLS handshake that fails is logged at level DEBUG",
}

CASES = tornado_tests.cases(tornado_tests.SERVER, LEFT_OUT)
globals().update(CASES)


@pytest.mark.parametrize("test", tornado_tests.failing(CASES, LEFT_OUT))
def test_left_out(test):
    tornado_tests.run(test)


def test_it_is_the_server_of_these_tests():
    assert type(HTTPServer(Application())) is StrictServer
