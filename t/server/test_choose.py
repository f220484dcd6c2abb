"""Which HTTP server a `Server` uses."""

import logging
import sys

import pytest

from tatsumaki_py import Application, Server
from tatsumaki_py.life import StartError
from tatsumaki_py.server import choose
from tatsumaki_py.server.choose import new_server
from tatsumaki_py.server.fast_server import FastServer
from tatsumaki_py.server.http_server import StrictServer


@pytest.fixture
def no_httptools(monkeypatch):
    for name in list(sys.modules):
        if name.startswith(("httptools", "tatsumaki_py.http1", "tatsumaki_py.server.fast_server")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "httptools", None)


@pytest.mark.parametrize(
    ("wanted", "kind"), [("", FastServer), ("fast", FastServer), ("tornado", StrictServer)]
)
def test_wanted(monkeypatch, wanted, kind):
    monkeypatch.setenv("TATSUMAKI_HTTP", wanted)
    assert type(new_server(Application(), max_body_size=5)) is kind


def test_without_httptools(monkeypatch, no_httptools, caplog):
    with caplog.at_level(logging.DEBUG, "tatsumaki"):
        assert type(new_server(Application())) is StrictServer
    assert "pip install 'tatsumaki_py[fast]'" in caplog.messages[0]
    monkeypatch.setenv("TATSUMAKI_HTTP", "fast")
    with pytest.raises(StartError, match=r"TATSUMAKI_HTTP=fast: .*httptools.*pip install"):
        new_server(Application())
    monkeypatch.setenv("TATSUMAKI_HTTP", "tornado")
    assert type(new_server(Application())) is StrictServer


def test_on_windows(monkeypatch, caplog):
    monkeypatch.setattr(choose, "_WATCHES", False)
    with caplog.at_level(logging.DEBUG, "tatsumaki"):
        assert type(new_server(Application())) is StrictServer
    assert "Windows has no fast HTTP server" in caplog.messages[0]


def test_a_wrong_value(monkeypatch, capsys):
    """A wrong value ends the program with one line."""
    monkeypatch.setenv("TATSUMAKI_HTTP", "nginx")
    with pytest.raises(SystemExit, match=r"^TATSUMAKI_HTTP must be fast or tornado, not 'nginx'$"):
        Server(port=0).run(Application())
