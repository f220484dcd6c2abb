"""The program, run as the units of the recipe say: no connection is refused in a restart."""

import configparser
import contextlib
import os
import re
import shlex
import signal
import socket
import sys

import pytest
from support.program import ROOT, STOP, received
from support.proxies import DEPLOY

# Acts as systemd: the socket is descriptor 3, and belongs to this process.
ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.argv[2], sys.argv[2:])
"""
REQUEST = b"%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n"


def unit(name):
    """The sections of a unit."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read(DEPLOY / "systemd" / name)
    return parser


@pytest.fixture
def command():
    """The command of the service, with the paths of a checkout."""
    words = shlex.split(unit("chat.service")["Service"]["ExecStart"])
    assert words == ["/srv/chat/venv/bin/python", "/srv/chat/app.py"]
    return [sys.executable, str(DEPLOY / "app.py")]


@pytest.fixture
def environment(tmp_path):
    """The environment of the unit, with a temporary file for the events."""
    lines = (DEPLOY / "systemd/chat.default").read_text().splitlines()
    variables = dict(line.split("=", 1) for line in lines)
    directory = "/var/lib/" + unit("chat.service")["Service"]["StateDirectory"]
    (engine,) = [value for value in variables.values() if directory in value]
    assert engine == f"sqlite:{directory}/events.db"
    variables["TATSUMAKI_ENGINE"] = engine.replace(directory, str(tmp_path))
    return variables


def ask(port, line, *headers, body=b""):
    """Sends a request, and returns the connection, on which the answer will arrive."""
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    fields = [*headers, *([b"Content-Length: %d" % len(body)] if body else [])]
    client.sendall(REQUEST % (line, b"".join(field + b"\r\n" for field in fields)) + body)
    return client


def test_restart(popen, command, environment, tmp_path):
    """Requests during a restart wait in the backlog of the socket, and a poll resumes."""
    host, _ = unit("chat.socket")["Socket"]["ListenStream"].rsplit(":", 1)
    backlog = int(unit("chat.socket")["Socket"]["Backlog"])
    publish = [b"POST /publish/room", b"Content-Type: application/json"]
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((host, 0), backlog=backlog))
        port = listener.getsockname()[1]
        inbox = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        inbox.settimeout(15)
        inbox.bind(str(tmp_path / "notify"))
        environment["NOTIFY_SOCKET"] = str(tmp_path / "notify")
        descriptor = listener.fileno()

        def start():
            activate = (sys.executable, "-c", ACTIVATE, descriptor, *command)
            return popen(*activate, environment=environment, pass_fds=[descriptor], cwd=ROOT)

        early = stack.enter_context(ask(port, b"GET /health"))
        process = start()
        assert inbox.recv(100) == b"READY=1"
        assert received(early).endswith(b"\r\n\r\nok\n")
        with ask(port, *publish, body=b"1") as client:
            cursor = re.search(rb'"id":"([\d-]+)"', received(client))[1]
        stream = ask(port, b"GET /events/room", b"Accept: text/event-stream")
        stack.enter_context(stream)
        received(stream, b"event: cursor")

        process.send_signal(signal.SIGTERM)
        assert inbox.recv(100) == b"STOPPING=1"
        assert process.wait(STOP) == 0
        assert b"retry: " in received(stream)
        waiting = [
            stack.enter_context(client)
            for client in (
                *(ask(port, b"GET /health") for _ in range(5)),
                ask(port, *publish, body=b"2"),
            )
        ]
        process = start()
        for client in waiting:
            assert received(client).startswith(b"HTTP/1.1 200 OK")
        assert inbox.recv(100) == b"READY=1"
        poll = b"GET /events/room?transport=interval-poll", b"Last-Event-ID: " + cursor
        with ask(port, *poll) as client:
            assert received(client).endswith(b"\r\n\r\n[2]")
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP) == 0
    assert os.path.exists(tmp_path / "events.db")
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
