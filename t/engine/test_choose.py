"""The engine is chosen with a URL or with an environment variable."""

import os
import subprocess
import sys

import pytest
from support.program import ROOT

from tatsumaki_py import MessageQueue
from tatsumaki_py.message_queue import EngineError
from tatsumaki_py.message_queue.engine.choose import redacted
from tatsumaki_py.message_queue.engine.memory import MemoryEngine


def test_memory_is_the_default():
    assert isinstance(MessageQueue._registry.engine, MemoryEngine)


def test_memory_by_its_url():
    MessageQueue.configure("memory:")
    assert isinstance(MessageQueue._registry.engine, MemoryEngine)


def test_the_environment_names_it(monkeypatch):
    monkeypatch.setenv("TATSUMAKI_ENGINE", "memory:")
    assert isinstance(MessageQueue._registry.engine, MemoryEngine)


@pytest.mark.parametrize("url", ["", "redis", "mysql://localhost", "localhost:6379"])
def test_a_url_of_no_engine(url):
    with pytest.raises(ValueError, match="an engine's URL must begin with one of memory:"):
        MessageQueue.configure(url)


def test_a_bad_url_in_the_environment_is_an_error_of_the_first_use(monkeypatch):
    monkeypatch.setenv("TATSUMAKI_ENGINE", "nats://user:secret@localhost")
    with pytest.raises(EngineError) as raised:
        MessageQueue.instance("room")
    assert str(raised.value).startswith("TATSUMAKI_ENGINE in the environment: an engine's URL")
    assert "secret" not in str(raised.value)


class Half:
    presence = None

    def publish(self):
        """The only method of an engine that this class has."""


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, ', not None: "memory:" is the in-memory engine, and an environment variable'),
        (6379, ", or an engine, not int"),
        (b"redis://:s3cret@h", ", or an engine, not bytes"),
        (MemoryEngine, ", or an engine, not the class MemoryEngine"),
        (Half(), ", or an engine, but Half has no open, attach, detach, forget, history, recall,"),
    ],
)
def test_a_value_that_is_no_engine(value, said):
    """`configure` raises an error that shows no password, and the engine does not change."""
    with pytest.raises(TypeError) as raised:
        MessageQueue.configure(value)
    text = 'MessageQueue.configure takes the URL of an engine, such as "redis://127.0.0.1:6379/0"'
    assert str(raised.value).startswith(text + said)
    assert "s3cret" not in str(raised.value)
    assert isinstance(MessageQueue._registry.engine, MemoryEngine)


def test_options_take_a_url():
    with pytest.raises(TypeError, match="options can be given with the URL"):
        MessageQueue.configure(MemoryEngine(), prefix="chat")


def test_redacted():
    assert redacted("rediss://:p@w:rd@host:1/0?a=b") == "rediss://:***@host:1/0?a=b"
    assert redacted("redis://host:6379") == "redis://host:6379"
    assert redacted("redis://:se/c@ret@host/1") == "redis://:***@host/1"
    assert redacted("redis://secret@host") == "redis://***@host"
    assert redacted("redis://h?password=a%20b&db=1") == "redis://h?password=***&db=1"
    assert redacted("sqlite:a/b@c.db") == "sqlite:a/b@c.db"


WITHOUT = """
import os, sys
from importlib.machinery import PathFinder

class Without:
    def find_spec(self, name, path=None, target=None):
        if name == {hidden!r}:
            spec = PathFinder.find_spec(name, [os.getcwd()])
            if spec is None:
                raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
            return spec

sys.meta_path.insert(0, Without())
from tatsumaki_py import MessageQueue
from tatsumaki_py.publisher import Publisher
for choose in MessageQueue.configure, Publisher:
    try:
        choose({url!r})
    except Exception as error:
        print(type(error).__name__, error)
"""
INSTALL = "needs the package {hidden}: pip install 'tatsumaki_py[redis]'"


@pytest.mark.parametrize(
    ("url", "hidden", "present", "said"),
    [
        ("redis://:s3cret@h", "redis", "nothing/", INSTALL),
        # Python takes a folder, such as one with the files of a Redis server, for a package.
        ("rediss+sentinel://:s3cret@h/chat", "redis", "redis/", INSTALL),
        ("redis://:s3cret@h", "hiredis", "hiredis/", INSTALL),
        ("redis://:s3cret@h", "redis", "redis.py", "hides: rename {path}"),
    ],
)
def test_a_missing_package(tmp_path, url, hidden, present, said):
    """The error says what to install or rename, even if a folder or file has the package's name."""
    path = tmp_path / present
    if present.endswith("/"):
        path.mkdir()
    else:
        path.touch()
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(hidden=hidden, url=url)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    lines = done.stdout.splitlines()
    assert (len(lines), done.stderr) == (2, "")
    for line in lines:
        assert line.startswith("EngineError ")
        assert line.endswith(said.format(path=path, hidden=hidden))
        assert "s3cret" not in line


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("redis://:s3cret@h:x", {}, "the host or the port"),
        (
            "redis://h",
            {"prob_interval": 1},
            "no option 'prob_interval': did you mean probe_interval",
        ),
        ("redis+sentinel://h", {}, "the name of the service is missing"),
    ],
)
def test_a_bad_url_of_redis(url, options, said):
    with pytest.raises(ValueError, match=said) as raised:
        MessageQueue.configure(url, **options)
    assert "s3cret" not in str(raised.value)
