"""Tornado's own tests run on `FastServer`."""

import subprocess
import sys

import pytest
from support import tornado_tests
from support.tornado_tests import LEFT_OUT, patience, server_under_test  # noqa: F401
from tornado.httpserver import HTTPServer
from tornado.web import Application

from tatsumaki_py.server.fast_server import FastServer

SERVER = FastServer

CASES = tornado_tests.cases(tornado_tests.MODULES, LEFT_OUT)
globals().update(CASES)


@pytest.mark.parametrize("test", tornado_tests.failing(CASES, LEFT_OUT))
def test_left_out(test):
    tornado_tests.run(test)


def test_it_is_the_server_of_these_tests():
    assert type(HTTPServer(Application())) is FastServer


def test_by_name():
    """Tornado's test runner takes the server by name. These tests fork, so they run in a separate
    process.
    """
    name = f"{FastServer.__module__}.{FastServer.__name__}"
    subprocess.run(
        [
            *(sys.executable, "-m", "tornado.test.runtests"),
            *(f"--httpserver={name}", "tornado.test.process_test"),
        ],
        check=True,
    )
