"""The tests that are part of Tornado, as test classes for a server of this package.

Only classes whose tests start an HTTP server are used. Like the tests of this package, Tornado's
tests fail for each log line that they do not expect.
"""

import importlib
import inspect
import logging
import unittest

import pytest
import tornado
from tornado.httpserver import HTTPServer
from tornado.testing import AsyncHTTPTestCase

# Without `curl_httpclient_test`, which needs pycurl, and `process_test`, which forks the process of
# the tests.
MODULES = [
    "asyncio_test",
    "auth_test",
    "circlerefs_test",
    "gen_test",
    "httpclient_test",
    "httpserver_test",
    "iostream_test",
    "routing_test",
    "security_corpus_test",
    "simple_httpclient_test",
    "testing_test",
    "web_test",
    "websocket_test",
    "wsgi_test",
]
"""Tornado's test modules with a class whose tests start a server."""

# `SimpleHTTPClientCommonTestCase` runs the same tests with the same client.
AGAIN = "HTTPClientCommonTestCase"

BARE_LF = "the lines of its request end with a bare LF, which is refused: 400 with another log line"

LEFT_OUT = {
    "HTTPConnectionTest.test_newlines": "a bare LF does not end a line: 400",
    "HTTPServerRawTest.test_chunked_request_body_duplicate_header": BARE_LF,
    "HTTPServerRawTest.test_chunked_request_body_transfer_encoding_and_content_length": BARE_LF,
    "HTTPServerRawTest.test_chunked_request_body_unsupported_transfer_encoding": BARE_LF,
    "KeepAliveTest.test_keepalive_chunked": "HTTP/1.0 has no chunked bodies: 400",
    "SSLTest.test_error_logging": "a TLS handshake that fails is logged at level DEBUG",
    "SSLTest.test_non_ssl_request": "a TLS handshake that fails is logged at level DEBUG",
}
"""The tests that fail on both of our servers, and why."""

if tornado.version_info >= (6, 6, 1):
    LEFT_OUT["HTTPServerRawTest.test_content_length_list_whitespace"] = (
        "a list of lengths is refused: 400 with another log line"
    )


@pytest.fixture(autouse=True, scope="module")
def server_under_test(request):
    """Makes `HTTPServer(...)` return an object of the class `SERVER` of the test module."""
    access = logging.getLogger("tornado.access")
    level = access.level
    # Tornado's own test runner also does this.
    access.setLevel(logging.CRITICAL)
    HTTPServer.configure(request.module.SERVER)
    yield
    HTTPServer.configure(None)
    access.setLevel(level)


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """Sets a timeout of 30 s, as a busy machine may take longer than Tornado's five seconds."""
    monkeypatch.setenv("ASYNC_TEST_TIMEOUT", "30")


def cases(modules, left_out):
    """Subclasses of Tornado's test classes, by name, without the tests that are `left_out`.

    `left_out` is a dict of reasons by "Class.test". If two classes have the same name, that of the
    second is prefixed with the name of its module.
    """
    found = {}
    with pytest.MonkeyPatch.context() as environment:
        # `gen_test` reads the variable when the modules are imported.
        environment.setenv("ASYNC_TEST_TIMEOUT", "30")
        for module in modules:
            for case in _cases_of(module):
                name = case.__name__
                found[f"{module}_{name}" if name in found else name] = case
    for name in left_out:
        case, test = name.split(".")
        setattr(found[case], test, None)
    return found


def failing(found, left_out):
    """The tests that are left out of `found`, as parameters of a test that must fail for each."""
    tests = []
    for name, reason in left_out.items():
        case, test = name.split(".")
        mark = pytest.mark.xfail(strict=True, reason=reason)
        # This raises a ValueError if Tornado has no such test.
        tests.append(pytest.param(found[case].__base__(test), id=name, marks=mark))
    return tests


def run(test):
    """Fails if `test` (a `unittest.TestCase`) fails."""
    result = unittest.TestResult()
    test.run(result)
    assert result.wasSuccessful()


def _cases_of(module):
    module = importlib.import_module(f"tornado.test.{module}")
    for name, case in vars(module).items():
        if (
            isinstance(case, type)
            and issubclass(case, unittest.TestCase)
            # Otherwise, the class was imported, or only has subclasses (`abstract_base_test`).
            and (case.__module__, case.__name__) == (module.__name__, name)
            and name != AGAIN
            and _starts_server(case)
        ):
            yield type(name, (case,), {"__module__": __name__})


def _starts_server(case):
    return issubclass(case, AsyncHTTPTestCase) or any(
        "HTTPServer(" in inspect.getsource(base)
        for base in case.__mro__
        if base.__module__.startswith("tornado.test.")
    )
