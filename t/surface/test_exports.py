"""The public names of the package: they change only on purpose."""

import ast
import importlib
import inspect
import pkgutil

import pytest
import tornado.web
from support.program import ROOT

import tatsumaki_py
from tatsumaki_py import testing

NAMES = [
    "AnyService",
    "Application",
    "AwaitedPoll",
    "Client",
    "Cookies",
    "CrossOriginHandler",
    "Durations",
    "Error",
    "Event",
    "HTTPClient",
    "HTTPResponse",
    "Handler",
    "HealthHandler",
    "IteratedPoll",
    "JSONCodec",
    "MergedQueue",
    "MessageQueue",
    "MetricsHandler",
    "MultiValue",
    "Poll",
    "PublishHandler",
    "Published",
    "Request",
    "Response",
    "Server",
    "Service",
    "Snapshot",
    "State",
    "StreamInfo",
    "SubscribeHandler",
    "TatsumakiJS",
    "Template",
    "TemplateEngine",
    "Ticket",
    "TicketedHandler",
    "WebSocketHandler",
]
TESTING = [
    "Attempt",
    "BadAnswer",
    "Clock",
    "Connection",
    "Ended",
    "FreshQueues",
    "Message",
    "Proxy",
    "RedisServer",
    "Refused",
    "Reply",
    "Subscriber",
    "until",
]
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(tatsumaki_py.__path__, "tatsumaki_py.")
    if module.name != "tatsumaki_py.__main__"
)
HANDLER = (
    "args async_cb asynchronous binary create_ticket get_chunk heartbeat_interval json "
    "json_lines log max_body_size max_buffer max_stream_time multipart_xhr_push mxhr "
    "nonblocking response server_sent_events stream_info stream_write"
)


def test_names():
    """`tatsumaki_py` exports exactly these names."""
    assert tatsumaki_py.__all__ == NAMES == sorted(tatsumaki_py._MODULES)
    assert not hasattr(tatsumaki_py, "Nothing")
    assert {*NAMES} <= {*dir(tatsumaki_py)}
    for name in NAMES:
        assert getattr(tatsumaki_py, name).__name__ == name


def test_testing():
    """`tatsumaki_py.testing` exports exactly these names."""
    assert testing.__all__ == TESTING == sorted(testing._MODULES)
    assert not hasattr(testing, "Nothing")
    for name in TESTING:
        assert getattr(testing, name).__name__ == name
    assert {*TESTING} <= {*dir(testing)}


@pytest.mark.parametrize("name", MODULES)
def test_all(name):
    """`__all__` of a module lists exactly the public names that the module defines."""
    module = importlib.import_module(name)
    source = ast.parse(inspect.getsource(module))
    made = {
        node.name
        for node in source.body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and not node.name.startswith("_")
    }
    names = getattr(module, "__all__", [])
    assert len(names) == len(set(names))
    assert {name for name in names if not hasattr(module, name)} == set()
    assert made <= set(names), f"public, but not in __all__ of {name}"


def test_handler():
    """`Handler` adds exactly these names to Tornado's. A new one may clash with users' names."""
    # Each Tornado handler has an attribute `ui`.
    added = set(dir(tatsumaki_py.Handler)) - {"ui", *dir(tornado.web.RequestHandler)}
    assert {name for name in added if not name.startswith("_")} == set(HANDLER.split())


def test_version():
    """The version equals that in the package's metadata."""
    assert f"\nversion = {tatsumaki_py.__version__}\n" in (ROOT / "setup.cfg").read_text()
