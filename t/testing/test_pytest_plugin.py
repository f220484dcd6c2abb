"""The fixtures work in a user's pytest, without pytest-tornado and without Redis."""

import re
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from tatsumaki_py.testing import pytest_plugin

# Our own configuration is not used. The ignored warnings come from pytest-tornado.
CONFIGURATION = """
[pytest]
filterwarnings =
    error
    ignore:make_current is deprecated; start the event loop first:DeprecationWarning
    ignore:clear_current is deprecated:DeprecationWarning
    ignore:The hookimpl pytest_py:pytest.PytestRemovedIn10Warning
    ignore:pkg_resources is deprecated as an API:UserWarning
"""

SUITE = '''
import pytest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from tatsumaki_py import Application, MessageQueue, SubscribeHandler


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def tatsumaki_clock():
    """Of the user, who wins."""
    return "mine"


def test_first():
    MessageQueue.instance("kept").publish(1)
    MessageQueue.backlog_length = 7


def test_no_fixture_is_used_by_itself():
    assert MessageQueue.instance("kept").backlog_events == [1]
    assert MessageQueue.backlog_length == 7


def test_queues(tatsumaki_queues):
    assert tatsumaki_queues is MessageQueue
    assert not MessageQueue.channels()
    MessageQueue.instance("other").publish(1)
    MessageQueue.backlog_length = 9


def test_after_the_queues():
    assert not MessageQueue.channels()
    assert MessageQueue.backlog_length == 7


def test_clock(tatsumaki_clock):
    assert tatsumaki_clock == "mine"


@pytest.mark.anyio
async def test_subscriber(tatsumaki_subscriber):
    sock, port = bind_unused_port()
    server = HTTPServer(Application([(r"/events/(.*)", SubscribeHandler)]))
    server.add_socket(sock)
    # They are left open, one in a task.
    client = await tatsumaki_subscriber(f"http://127.0.0.1:{port}/events/a").start()
    other = tatsumaki_subscriber(f"http://127.0.0.1:{port}/events/a", "long-poll").follow()
    MessageQueue.instance("a").publish("hello")
    assert (await client.next()).data == (await other.next()).data == "hello"
    server.stop()
    await server.close_all_connections()


def test_redis(tatsumaki_redis):
    raise AssertionError("there is no redis-server")
'''


REFUSED = """
import asyncio

import pytest

from tatsumaki_py import Application, SubscribeHandler


@pytest.fixture
def app():
    return Application([(r"/events/(.*)", SubscribeHandler)])


@pytest.mark.gen_test
async def test_one_is_refused(http_server, base_url, tatsumaki_subscriber):
    for path in ("events/a", "nowhere", "events/b"):
        client = tatsumaki_subscriber(f"{base_url}/{path}").follow()
        while not client.head:
            await asyncio.sleep(0.01)
    assert client.head.status == 200
"""


def test_fixtures(tmp_path):
    """Fixtures run only if a test asks for them, leave nothing behind, and can be replaced by the
    user's own.
    """
    (tmp_path / "test_suite.py").write_text(SUITE)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-rs", "-p", "no:tornado", "-p", "no:asyncio"]
    # Pretend that redis-server is not installed.
    hidden = "import shutil; shutil.which = lambda *args, **options: None"
    (tmp_path / "conftest.py").write_text(hidden)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == ""
    assert "6 passed, 1 skipped" in done.stdout, done.stdout
    reason = r"SKIPPED .* redis-server is not installed \(Debian: apt install redis-server\)"
    assert re.search(reason, done.stdout)


def test_an_error_of_one_client(tmp_path):
    """An error of one client fails the test, and the other clients are still closed."""
    (tmp_path / "test_suite.py").write_text(REFUSED)
    (tmp_path / "pytest.ini").write_text(CONFIGURATION)
    command = [sys.executable, "-m", "pytest", "-p", "no:asyncio"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == ""
    assert "1 passed, 1 error in" in done.stdout, done.stdout
    assert "Refused: HTTP/1.1 404 Not Found" in done.stdout
    assert "Warning" not in done.stdout, done.stdout


def test_its_name():
    """``-p no:tatsumaki`` disables the plugin."""
    (plugin,) = entry_points(group="pytest11", name="tatsumaki")
    assert plugin.load() is pytest_plugin


@pytest.mark.gen_test
async def test_with_pytest_tornado(http_server, base_url, queue, tatsumaki_subscriber):
    """A client that the test does not close is closed in the loop of the test."""
    client = tatsumaki_subscriber(f"{base_url}/events/room", ["sse", "long-poll"]).follow()
    queue.publish("hello")
    assert (await client.next()).data == "hello"
