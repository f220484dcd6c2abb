"""Tornado's own tests of its HTTP server run on `StrictServer`. Its other tests run on `FastServer`
only, because `StrictServer` changes only how requests are read.
"""

import pytest
from support import tornado_tests
from support.tornado_tests import LEFT_OUT, patience, server_under_test  # noqa: F401
from tornado.httpserver import HTTPServer
from tornado.web import Application

from tatsumaki_py.server.http_server import StrictServer

SERVER = StrictServer

CASES = tornado_tests.cases(["httpserver_test"], LEFT_OUT)
globals().update(CASES)


@pytest.mark.parametrize("test", tornado_tests.failing(CASES, LEFT_OUT))
def test_left_out(test):
    tornado_tests.run(test)


def test_it_is_the_server_of_these_tests():
    assert type(HTTPServer(Application())) is StrictServer
