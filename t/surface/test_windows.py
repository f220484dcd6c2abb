"""The package can be imported, and answers requests, without modules that Windows lacks."""

import subprocess
import sys
import textwrap

from support.program import ROOT

# Removes what Windows lacks, except what the event loop itself needs.
MISSING = """
import asyncio, functools, os, select, selectors, signal, socket, sys

for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[name] = None
socket.socketpair = functools.partial(socket.socketpair, socket.AF_UNIX)
for module, names in (
    (socket, ("AF_UNIX", "SO_REUSEPORT", "TCP_USER_TIMEOUT", "TCP_KEEPIDLE", "MSG_DONTWAIT")),
    (select, ("poll", "POLLRDHUP", "POLLERR", "POLLHUP")),
    (selectors, ("PollSelector",)),
    (os, ("fork", "register_at_fork", "getuid", "O_CLOEXEC", "O_NONBLOCK")),
    (signal, ("SIGHUP", "SIGUSR1", "SIGALRM")),
):
    for name in names:
        delattr(module, name)

def missing(*args):
    raise NotImplementedError

asyncio.unix_events._UnixSelectorEventLoop.add_signal_handler = missing
asyncio.unix_events._UnixSelectorEventLoop.remove_signal_handler = missing
"""
PROGRAM = """
import json, pkgutil, threading, urllib.request
import tatsumaki_py
from tatsumaki_py import Application, Handler, MessageQueue, Server

for module in pkgutil.walk_packages(tatsumaki_py.__path__, "tatsumaki_py."):
    __import__(module.name)

class Poll(Handler):
    async def get(self):
        self.write(await MessageQueue.instance("room").poll_once("me"))

class Publish(Handler):
    def get(self):
        MessageQueue.instance("room").publish("hello")
        self.write("published")

def fetch(path):
    return urllib.request.urlopen(f"http://127.0.0.1:{server.port}/{path}", timeout=5).read()

def ask():
    try:
        server.listening.wait(5)
        poll = threading.Thread(target=lambda: print({*json.loads(fetch("poll"))}))
        poll.start()
        print(fetch("static/large.txt") == b"x" * 2_000_000)
        while poll.is_alive():
            fetch("publish")
    finally:
        # As Ctrl-C does on Windows.
        signal.raise_signal(signal.SIGINT)

rules = [("/poll", Poll), ("/publish", Publish)]
app = Application(rules, static_path=sys.argv[1])
server = Server("127.0.0.1", 0)
threading.Thread(target=ask).start()
server.run(app)
"""


def test_windows(tmp_path):
    """Every module can be imported, and a server answers and ends after Ctrl-C."""
    (tmp_path / "large.txt").write_bytes(b"x" * 2_000_000)
    program = textwrap.dedent(MISSING + PROGRAM)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
    )
    lines = done.stdout.splitlines()[1:]
    assert (sorted(lines), done.returncode) == (["True", "{'hello'}"], 0), done.stderr
    assert "Traceback" not in done.stderr, done.stderr
