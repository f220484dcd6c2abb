"""While `Server.run` serves, the garbage collector runs less often."""

import gc
import threading

import pytest

from tatsumaki_py import Application, Server
from tatsumaki_py.server.collector import THRESHOLD

DEFAULT = gc.get_threshold()


def serve():
    """Returns the thresholds while a server runs."""
    app, server, seen = Application(), Server(port=0), []

    @app.on_start
    def look():
        seen.append(gc.get_threshold())
        server.stop()

    server.run(app)
    return seen


@pytest.fixture
def thresholds():
    yield gc.set_threshold
    gc.set_threshold(*DEFAULT)


def test_defaults(thresholds, capsys):
    assert serve() == [THRESHOLD]
    assert gc.get_threshold() == DEFAULT


def test_own_thresholds(thresholds, capsys):
    thresholds(5000, 5, 5)
    assert serve() == [(5000, 5, 5)]
    assert gc.get_threshold() == (5000, 5, 5)


def test_in_a_thread(capsys):
    """A server in another thread does not change the thresholds."""
    seen = []
    thread = threading.Thread(target=lambda: seen.extend(serve()))
    thread.start()
    thread.join()
    assert seen == [DEFAULT]
