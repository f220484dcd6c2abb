"""TATSUMAKI_DEBUG=1 logs what happens to clients, and shows clients nothing more."""

import re
import urllib.error
import urllib.request

import pytest
from support.program import Program, free_port

PROGRAM = """
from tatsumaki_py import Application, Handler, MessageQueue, Server

class Poll(Handler):
    async def get(self):
        self.write(await MessageQueue.instance("room").poll_once("me", timeout=0))

class Twice(Handler):
    def get(self):
        self.finish("once")
        self.finish("twice")

class Fails(Handler):
    def get(self):
        raise ZeroDivisionError("secret")

rules = [("/poll", Poll), ("/twice", Twice), ("/fails", Fails)]
Server().run(Application(rules))
"""
LINES = [
    "DEBUG tatsumaki: client NAME of channel 'room' was answered",
    "DEBUG tatsumaki: finish() after finish() does nothing: GET /twice (127.0.0.1)",
]


@pytest.fixture
def program(tmp_path, monkeypatch):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    program = Program(path, free_port(), tmp_path)

    def start(value):
        monkeypatch.setenv("TATSUMAKI_DEBUG", value)
        program.start()
        return program

    yield start
    program.kill()


@pytest.mark.parametrize(("value", "lines"), [("1", LINES), ("0", []), ("", [])])
def test_debug(program, value, lines):
    """The values that are false in Perl switch it off."""
    program = program(value)
    for path in ("poll", "twice"):
        urllib.request.urlopen(program.url + path, timeout=10).close()
    program.stop()
    debug = [line.partition(" DEBUG ")[2] for line in program.stderr.splitlines()]
    debug = [re.sub(r"client \w{8} of", "client NAME of", line) for line in debug]
    assert [f"DEBUG {line}" for line in debug if line.startswith("tatsumaki:")] == lines


def test_clients_see_nothing(program):
    """A traceback is in the log, and not in the answer."""
    program = program("1")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(program.url + "fails", timeout=10)
    with caught.value as answer:
        assert answer.read() == b"Internal Server Error"
    program.stop()
    assert "ZeroDivisionError: secret" in program.stderr
