"""`Server.run` starts services before it listens and stops them at the end, even if one fails. The
engine is closed after them.
"""

import signal
import socket
import subprocess
import sys

import pytest
from support.program import free_port

PROGRAM = """
import asyncio, contextlib, socket, sys
from tatsumaki_py import Application, Handler, MessageQueue, Server, Service, life
from tatsumaki_py.message_queue.engine.memory import MemoryEngine

class Engine(MemoryEngine):
    async def close(self):
        print("engine closed", flush=True)

MessageQueue.configure(Engine())
MODE, PORT = sys.argv[1], int(sys.argv[2])

class Worker(Service):
    async def start(self):
        with socket.socket() as probe:
            print("listens:", probe.connect_ex(("127.0.0.1", PORT)) == 0, flush=True)
        self.task = asyncio.create_task(asyncio.sleep(0, "a task"))
        print(await self.task, flush=True)
        MessageQueue.instance("work").poll("worker", self.on_event)
        if MODE == "fails":
            raise ValueError("no such\\nhost")
        if MODE == "waits":
            print("waiting", flush=True)
            await asyncio.sleep(60)
        if MODE == "exits":
            sys.exit(4)
        if MODE == "stubborn":
            life.STOP_TIME = 0.1
            self.application.spawn(ignore())
            print("waiting", flush=True)
            await ignore()

    def on_event(self, *events):
        print("worker", events[0]["n"], flush=True)

    async def stop(self):
        await asyncio.sleep(0)
        print("worker stopped", flush=True)

class Exit(Handler):
    def get(self):
        sys.exit(3)

class Root(Handler):
    def get(self):
        MessageQueue.instance("work").publish({"n": 1})
        self.write("hello")

class First(Service):
    def stop(self):
        print("first stopped", flush=True)

app = Application([("/", Root), ("/exit", Exit)])
app.add_service(First())
app.add_service(Worker())

@app.on_start
async def started():
    print("started", flush=True)

@app.on_stop
def stopped():
    print("hook", flush=True)

async def ignore():
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)

async def tick():
    try:
        while True:
            await MessageQueue.instance("ticks").publish("tick")
            await asyncio.sleep(0.001)
    finally:
        print("cancelled", flush=True)

app.spawn(tick())
Server(port=PORT, grace=0.1).run(app)
"""


@pytest.fixture
def start(popen, tmp_path):
    """Starts the program."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    def run(mode):
        port = free_port()
        return popen(sys.executable, program, mode, port, stderr=subprocess.PIPE), port

    return run


def lines_of(process, until):
    """The lines that the process prints, up to one that begins with `until`."""
    lines = []
    while not lines or not lines[-1].startswith(until):
        line = process.stdout.readline()
        assert line, lines
        lines.append(line.rstrip())
    return lines


def test_start_and_stop(start):
    """Services start before the server listens, and stop in reverse order at the end."""
    process, port = start("runs")
    lines = lines_of(process, "Listening")
    assert lines[:-1] == ["listens: False", "a task", "started"]
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        while client.recv(65536):
            pass
    assert lines_of(process, "worker") == ["worker 1"]
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=10)
    assert out.splitlines() == [
        "cancelled",
        "hook",
        "worker stopped",
        "first stopped",
        "engine closed",
    ]
    assert process.returncode == 0
    assert [line.split(" ", 2)[2].rsplit(" ", 1)[0] for line in err.splitlines()] == [
        "INFO tornado.access: 200 GET / (127.0.0.1)"
    ]


def test_a_start_that_fails(start):
    """If a service fails to start, the program ends with one line on stderr and status 1. Services
    that have started are stopped.
    """
    process, _ = start("fails")
    out, err = process.communicate(timeout=10)
    assert out.splitlines() == [
        "listens: False",
        "a task",
        "cancelled",
        "first stopped",
        "engine closed",
    ]
    assert (err, process.returncode) == (
        "the service Worker did not start: ValueError: no such\\x0ahost\n",
        1,
    )


def test_a_signal_during_a_start(start):
    """After a signal while services start, the program stops cleanly without ever listening."""
    process, _ = start("waits")
    lines_of(process, "waiting")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (out.splitlines(), err) == (["cancelled", "first stopped", "engine closed"], "")
    assert process.returncode == 0


def test_tasks_that_ignore_their_cancellation(start):
    """The process ends without waiting longer for tasks that ignore their cancellation."""
    process, _ = start("stubborn")
    lines_of(process, "waiting")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=10)
    assert (out.splitlines(), process.returncode) == (
        ["cancelled", "first stopped", "engine closed"],
        0,
    )
    for name in ("the service Worker", "ignore"):
        assert f"ERROR tatsumaki: {name} did not end within 0.1 seconds" in err


def test_exit(start):
    """After `sys.exit` in a handler, the program stops cleanly, with that status."""
    process, port = start("runs")
    lines_of(process, "Listening")
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(b"GET /exit HTTP/1.1\r\nHost: x\r\n\r\n")
        out, _ = process.communicate(timeout=10)
    assert out.splitlines() == [
        "cancelled",
        "hook",
        "worker stopped",
        "first stopped",
        "engine closed",
    ]
    assert process.returncode == 3


def test_a_start_that_exits(start):
    """If a service calls `sys.exit` in its start, the services that have started are stopped."""
    process, _ = start("exits")
    out, err = process.communicate(timeout=10)
    assert out.splitlines()[2:] == ["cancelled", "first stopped", "engine closed"]
    assert (err, process.returncode) == ("", 4)
