"""``python -m tatsumaki_py app.py``."""

import signal
import subprocess
import sys

import pytest
from support.program import ROOT, STOP

APP = """
from tatsumaki_py import Application
import beside
app = Application()
"""


def command(*arguments):
    return [sys.executable, "-m", "tatsumaki_py", *map(str, arguments)]


def run(*arguments):
    return subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=10)


TORNADO = """
import tornado.web
import beside
app = tornado.web.Application()
"""


@pytest.mark.parametrize("source", [APP, TORNADO])
def test_serves_app(tmp_path, source):
    """It serves the application of the file, also one of Tornado's. The file may import what lies
    beside it."""
    (tmp_path / "app.py").write_text(source)
    (tmp_path / "beside.py").write_text("")
    with subprocess.Popen(
        command("--port", 0, tmp_path / "app.py"), cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline().startswith("Listening on http://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP) == 0


@pytest.mark.parametrize(
    ("source", "message"),
    [(None, "there is no file"), ("app = 1", "has no app = Application(...)")],
)
def test_mistakes(tmp_path, source, message):
    """A file without an application is one clear line."""
    if source is not None:
        (tmp_path / "app.py").write_text(source)
    done = run(tmp_path / "app.py")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
