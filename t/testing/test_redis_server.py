"""A Redis server that a test can kill."""

import os
import unittest

import pytest
from support.outside import find_program

from tatsumaki_py.testing import RedisServer


@pytest.fixture(autouse=True)
def installed():
    find_program("redis-server", "redis-server")


def test_its_life():
    """A server starts empty, keeps the data that it is told to keep, and leaves no file behind."""
    with RedisServer(appendonly="yes", appendfsync="always") as server:
        assert server.ask("DBSIZE") == ":0"
        server.ask("SET", "a", "1")
        server.kill()
        assert not server.answers()
        server.start()
        assert server.ask("GET", "a") == "$1\r\n1"
        server.pause()
        with pytest.raises(TimeoutError):
            server._ask(("PING",))
        server.resume()
        assert server.answers()
        folder = server.folder
    assert not server.answers()
    assert not os.path.exists(folder)


def test_a_line_that_is_wrong(tmp_path):
    """The exception contains the error message from Redis."""
    with pytest.raises(RuntimeError, match=r"(?s)redis-server did not start:.*no-such-option"):
        RedisServer(tmp_path, no_such_option="x").start()


def test_a_port_that_is_taken():
    """A port in use is refused: the test would otherwise talk to another Redis."""
    with RedisServer() as server:
        other = RedisServer(port=server.port)
        with pytest.raises(RuntimeError, match=rf"cannot start: port {server.port} is taken"):
            other.start()
        other.stop()
        with pytest.raises(RuntimeError, match="is taken"):
            server.start()
        assert server.answers()
    assert not server.answers()


def test_where_there_is_none(monkeypatch):
    """Without Redis, the test is skipped, in unittest and in pytest."""
    monkeypatch.setattr(RedisServer, "program", "no-redis")
    with pytest.raises(unittest.SkipTest, match=r"no-redis is not installed \(Debian: apt"):
        RedisServer()
