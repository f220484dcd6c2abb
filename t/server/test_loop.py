"""Callbacks that a program schedules before it serves run when it serves."""

import signal
import subprocess
import sys

import pytest
from tornado.ioloop import IOLoop

from tatsumaki_py import Application, Server

PROGRAM = """
import os, signal
from tornado.ioloop import IOLoop
from tatsumaki_py import Application, Server, Service

class Ticker(Service):
    def start(self):
        IOLoop.current().call_later(0.01, self.tick)

    def tick(self):
        print("tick", flush=True)
        os.kill(os.getpid(), signal.SIGINT)

for _ in range(2):
    app = Application()
    app.add_service(Ticker())
    IOLoop.current().add_callback(print, "first")
    Server(port=0).run(app)
"""


def test_before_run(tmp_path):
    """Timers of a service and callbacks of the program run, also for a second server after the
    first.
    """
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    command = [sys.executable, str(path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=20)
    lines = [line for line in result.stdout.splitlines() if not line.startswith("Listening")]
    assert (lines, result.stderr, result.returncode) == (["first", "tick"] * 2, "", 0)


@pytest.mark.parametrize(
    ("callback", "error"),
    [(lambda: sys.exit(3), SystemExit), (lambda: signal.raise_signal(2), KeyboardInterrupt)],
)
def test_an_early_exit(callback, error, capsys):
    """A callback that runs before the server listens may end the program."""
    IOLoop.current().add_callback(callback)
    with pytest.raises(error):
        Server("127.0.0.1", 0).run(Application())
    assert capsys.readouterr().out == ""
