"""The health checks of a process that is stopping."""

import urllib.error
import urllib.request

import pytest

PROGRAM = """
from tatsumaki_py import Application, HealthHandler, MetricsHandler, Server

if __name__ == "__main__":
    app = Application([("/health", HealthHandler), ("/metrics", MetricsHandler)])
    Server(drain_delay=0.5).run(app)
"""


@pytest.fixture
def program(serve_program, tmp_path):
    path = tmp_path / "app.py"
    path.write_text(PROGRAM)
    return serve_program(path)


def get(program, path):
    """The status, the body and the header Retry-After."""
    try:
        with urllib.request.urlopen(program.url + path, timeout=5) as answer:
            return answer.status, answer.read(), None
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers["Retry-After"]


def test_draining(program):
    """During `drain_delay`, health checks get a 503 and other requests are answered. After that,
    the process exits with status 0.
    """
    assert get(program, "health") == (200, b"ok\n", None)
    program.signal()
    while (answer := get(program, "health"))[0] == 200:
        pass
    assert answer == (503, b"draining\n", "5")
    assert get(program, "metrics")[0] == 200
    assert program.wait() == 0
    assert "503 GET /health" in program.stderr
