"""Programs that run as subprocesses."""

import signal
import urllib.request

import pytest

PROGRAM = """
import http.server, os, signal, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(os.getpid()).encode())

server = http.server.HTTPServer((os.environ["TATSUMAKI_HOST"], int(os.environ["PORT"])), Handler)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
print("on http://{TATSUMAKI_HOST}:{PORT}/".format(**os.environ), flush=True)
server.serve_forever()
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def fetch(program):
    with urllib.request.urlopen(program.url, timeout=5) as answer:
        return int(answer.read())


def test_start_stop_restart(serve_program, path):
    """A program serves when it says so, has an exit status, and can restart on the same port."""
    program = serve_program(path)
    first = fetch(program)
    assert first == program.pid
    assert program.stop() == 3
    with pytest.raises(OSError, match="refused"):
        fetch(program)
    program.start()
    second = fetch(program)
    program.restart()
    assert len({first, second, fetch(program)}) == 3
    assert program.stop(signal.SIGKILL) == -signal.SIGKILL


def test_program_that_does_not_start(serve_program, path):
    """A program that ends before it listens fails the test, with its output."""
    path.write_text("import sys; sys.exit('no such room')")
    with pytest.raises(pytest.fail.Exception, match="no such room"):
        serve_program(path)
