"""The bot, run as a user runs it, with an IRC server that the test plays over a socket."""

import contextlib
import json
import re
import socket
import time
import urllib.parse
import urllib.request

import pytest

TIMEOUT = 10


class Session:
    """One connection of the bot, as the server sees it."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(TIMEOUT)
        self.file = sock.makefile("r", encoding="utf-8", newline="\r\n")

    def send(self, *lines):
        for line in lines:
            self.sock.sendall(f"{line}\r\n".encode())

    def read(self):
        """The next line."""
        return self.file.readline().removesuffix("\r\n")

    def cut(self):
        """Closes the connection."""
        self.file.close()
        self.sock.close()

    def welcome(self, name="tatsumaki"):
        """Welcomes the bot, and waits until it has joined the room."""
        assert self.read() == f"NICK {name}"
        assert self.read() == f"USER {name} 0 * :a bot"
        self.send(f":irc.test 001 {name} :Welcome", "", ":irc.test 372 * :- a message of the day")
        assert self.read() == "JOIN #tatsumaki"
        self.send(f":{name}!bot@localhost JOIN #tatsumaki")


class Server:
    """The IRC server to which the bot connects."""

    def __init__(self):
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.sock.settimeout(TIMEOUT)
        self.port = self.sock.getsockname()[1]

    def accept(self):
        return Session(self.sock.accept()[0])

    def close(self):
        """Refuses connections."""
        self.sock.close()

    def open(self):
        """Listens again, on the same port."""
        self.sock = socket.create_server(("127.0.0.1", self.port))
        self.sock.settimeout(TIMEOUT)


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


# The bot, in a program that soon forgets the places of clients.
PROGRAM = """
import runpy
from tatsumaki_py import MessageQueue
MessageQueue.reconnect_time = 0.01
runpy.run_path("examples/bot.py", run_name="__main__")
"""


@pytest.fixture
def bot(server, serve_program, tmp_path, monkeypatch):
    monkeypatch.setenv("IRC", f"127.0.0.1:{server.port}")
    monkeypatch.setenv("PYTHONDEVMODE", "1")
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return serve_program(path)


def post(bot, text, name="ann"):
    body = urllib.parse.urlencode({"name": name, "text": text}).encode()
    urllib.request.urlopen(f"{bot.url}say", body, timeout=TIMEOUT).close()


def events(bot):
    """Iterates over the events of the channel "irc": first the backlog, then new ones."""
    url = f"{bot.url}events/irc?transport=ndjson&last_event_id="
    with urllib.request.urlopen(url, timeout=TIMEOUT) as stream:
        for line in stream:
            message = json.loads(line)
            if "data" in message:
                yield message["data"]


def test_talk(server, bot):
    """Messages from each side reach the other, and the bot sends QUIT when it stops."""
    irc = server.accept()
    irc.welcome()
    post(bot, "first")
    assert irc.read() == "PRIVMSG #tatsumaki :<ann> first"
    irc.send("PING :are you there", ":bob!b@host PRIVMSG tatsumaki :a secret")
    assert irc.read() == "PONG :are you there"
    irc.send(":bob!b@host PRIVMSG #tatsumaki :hi: \N{SNOWMAN}", ":bob PRIVMSG #tatsumaki hello")
    heard = events(bot)
    assert [next(heard) for _ in range(3)] == [
        {"type": "message", "from": "web", "name": "ann", "text": "first"},
        {"type": "message", "from": "irc", "name": "bob", "text": "hi: \N{SNOWMAN}"},
        {"type": "message", "from": "irc", "name": "bob", "text": "hello"},
    ]
    heard.close()
    # A posted line break does not begin a new IRC line.
    post(bot, "a\r\nQUIT :" + "\N{SNOWMAN}" * 500)
    said = irc.read()
    assert re.fullmatch("PRIVMSG #tatsumaki :<ann> a QUIT :\u2603{100,}", said)
    assert len(said.encode()) <= 450
    assert bot.stop() == 0
    assert irc.read() == "QUIT"
    assert irc.read() == ""
    irc.cut()
    assert "Warning" not in bot.stderr


def test_garbage(server, bot):
    """Invalid lines do not slow down or stop the bot.

    When a line is too long, the bot drops the connection and reconnects.
    """
    irc = server.accept()
    irc.welcome()
    irc.send(":" + "a" * 60000, "\0\x01", ":", " ", "PING")
    irc.send(":x PRIVMSG", "PRIVMSG #tatsumaki", "001")
    began = time.monotonic()
    irc.send("PING token")
    assert irc.read() == "PONG :token"
    assert time.monotonic() - began < 5
    with contextlib.suppress(OSError):
        for _ in range(100):
            irc.sock.sendall(b"x" * 65536)
            time.sleep(0.001)
    irc.cut()
    server.accept().cut()
    assert "ValueError" in bot.stderr


def test_reconnects(server, bot):
    """A bot that loses its server reconnects, under another name if its own is in use.

    The bot sends each message once, even those that were posted in the meantime.
    """
    irc = server.accept()
    irc.welcome()
    post(bot, "first")
    assert irc.read() == "PRIVMSG #tatsumaki :<ann> first"
    server.close()
    irc.cut()
    post(bot, "second")
    while "Connect call failed" not in bot.stderr:
        time.sleep(0.01)
    server.open()
    irc = server.accept()
    irc.send(":irc.test 433 * tatsumaki :Nickname is already in use")
    assert irc.read() == "NICK tatsumaki"
    assert irc.read() == "USER tatsumaki 0 * :a bot"
    assert re.fullmatch(r"NICK tatsumaki\d+", irc.read())
    # The server shortens the name.
    irc.send(":irc.test 001 tatsumak :Welcome")
    assert irc.read() == "JOIN #tatsumaki"
    irc.send(":tatsumak!bot@localhost JOIN :#tatsumaki")
    assert irc.read() == "PRIVMSG #tatsumaki :<ann> second"
    irc.cut()
