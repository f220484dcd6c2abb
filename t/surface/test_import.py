"""Importing the package only defines names."""

import subprocess
import sys

import pytest
from support.program import ROOT

SCRIPT = """
import asyncio, logging, signal, socket, sys, threading

def forbidden(*args, **kwargs):
    raise AssertionError("called at import")

asyncio.new_event_loop = asyncio.get_event_loop = asyncio.set_event_loop = forbidden
asyncio.events.new_event_loop = asyncio.events.get_event_loop = forbidden
logging.basicConfig = logging.config = forbidden
signal.signal = forbidden
init = socket.socket.__init__
socket.socket.__init__ = forbidden
before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

import tatsumaki_py
from tatsumaki_py import *
Application([("/", Handler)], static_path="static", template_path="templates")
Server(), HTTPClient(), MessageQueue.instance("a"), Service(), Template()

assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
assert not logging.root.handlers
assert not logging.getLogger("tatsumaki").handlers
assert logging.getLogger("tatsumaki").level == logging.NOTSET
assert threading.active_count() == 1
optional = {"redis", "pytest", "mypy", "playwright", "jinja2", "pycurl", "tornado.testing"}
assert not optional & sys.modules.keys(), optional & sys.modules.keys()
assert "tatsumaki_py.testing" not in sys.modules

from tatsumaki_py.testing import *
assert not optional & sys.modules.keys(), optional & sys.modules.keys()
"""
# Each pytest in a Python environment loads the plugin.
PLUGIN = """
import sys, pytest
before = set(sys.modules)
import tatsumaki_py.testing.pytest_plugin
after = {"tatsumaki_py", "tatsumaki_py.testing", "tatsumaki_py.testing.pytest_plugin"}
assert set(sys.modules) - before == after, set(sys.modules) - before
"""


@pytest.mark.parametrize("script", [SCRIPT, PLUGIN], ids=["package", "plugin"])
def test_no_side_effects(script):
    """Neither the import nor the constructors set up an event loop, a socket, a thread, a signal
    handler or logging, or import an optional package.
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")
