"""Several processes share the work; one that ends is replaced, and all stop together."""

import contextlib
import http.client
import json
import os
import signal
import socket
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from support.program import ROOT, STOP, free_port, received

from tatsumaki_py.server.signals import REPEAT

PROGRAM = ROOT / "t/server/worked.py"
LISTENING = "Listening on http://127.0.0.1:{}/ (Ctrl-C stops)\n"


class Workers:
    """The running program. Its log is the file `log` in `folder`."""

    def __init__(self, process, port, folder):
        self.process, self.port, self._folder = process, port, folder

    @property
    def log(self):
        return (self._folder / "log").read_text()

    @property
    def pids(self):
        """The process ids of the workers."""
        pid = self.process.pid
        return sorted(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))

    def get(self, path="/"):
        """Sends a request on a new connection, and returns the JSON of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", path)
            return json.loads(connection.getresponse().read() or "null")

    def ask(self, path):
        """Opens a connection and sends a request."""
        client = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return client

    def numbers(self):
        """The answer of each worker, by its process id."""
        found = {}
        wait(lambda: found.update({(one := self.get())[1]: one}) or len(found) == 3)
        return found

    def lives(self, pid):
        return Path(f"/proc/{pid}").exists()

    def end(self):
        """Waits for the end of the program, and returns the lines that it printed, sorted."""
        out, _ = self.process.communicate(timeout=STOP)
        return sorted(out.splitlines())


def wait(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def start(popen, tmp_path):
    """Starts workers, three by default, and waits until they listen."""
    sessions = []

    def run(count=3, **environment):
        port = free_port()
        variables = {"TATSUMAKI_PROCESSES": str(count), "PORT": str(port), **environment}
        options = {"environment": variables, "cwd": tmp_path, "start_new_session": True}
        process = popen(sys.executable, PROGRAM, **options)
        sessions.append(process.pid)
        workers = Workers(process, port, tmp_path)
        assert process.stdout.readline() == LISTENING.format(port), workers.log
        return workers

    yield run
    for session in sessions:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(session, signal.SIGKILL)


ENDED = ["engine closed"] * 3 + ["stopped 1", "stopped 2", "stopped 3"]


def test_their_life(start):
    """The workers are separate processes. A worker that is killed, or stopped with SIGTERM, is
    replaced by one with its number. Ctrl-C, which a terminal sends to all processes, stops each of
    them once.
    """
    workers = start()
    before = workers.pids
    answers = workers.numbers()
    assert sorted(answers) == before
    assert sorted(one[0] for one in answers.values()) == ["1", "2", "3"]
    assert len({one[2] for one in answers.values()}) == 3
    assert {one[3] for one in answers.values()} == {workers.port}
    killed, told, stays = answers
    os.kill(killed, signal.SIGKILL)
    os.kill(told, signal.SIGTERM)
    wait(lambda: len(set(workers.pids) - set(before)) == 2 and len(workers.pids) == 3)
    wait(lambda: workers.log.count(" is listening\n") == 5)
    number = answers[killed][0]
    text = f"worker {number} (process {killed}) was killed by SIGKILL; starting it again in 0.1 s"
    assert f"ERROR tatsumaki: {text}econds\n" in workers.log
    number = answers[told][0]
    assert f"INFO tatsumaki: worker {number} (process {told}) ended with status 0" in workers.log
    assert f"INFO tornado.access worker {number}: 200 GET / (127.0.0.1)" in workers.log
    answers = workers.numbers()
    assert sorted(one[0] for one in answers.values()) == ["1", "2", "3"]
    assert stays in answers
    os.killpg(workers.process.pid, signal.SIGINT)
    assert workers.end() == sorted([*ENDED, "engine closed", f"stopped {number}"])
    assert workers.process.returncode == 0
    assert "Traceback" not in workers.log


def test_systemd_stops_all_processes_of_a_unit(start):
    """SIGTERM to each process is one stop: a stream gets its `retry`, and the exit status is 0."""
    workers = start()
    with workers.ask("/events/room?transport=ndjson") as stream:
        received(stream, b"\r\n\r\n")
        os.killpg(workers.process.pid, signal.SIGTERM)
        assert b'"retry":' in received(stream)
    assert workers.end() == ENDED
    assert workers.process.returncode == 0


@pytest.mark.parametrize("count", [1, 3])
def test_the_same_signal_twice_at_once(start, count):
    """The same signal twice, as ``timeout`` of coreutils sends it to its child and to the process
    group, counts as one: a request in flight is finished.
    """
    workers = start(count, TATSUMAKI_WORKER="1")
    with workers.ask("/ends") as client:
        received(client, b"a")
        workers.process.send_signal(signal.SIGTERM)
        # Without a pause, the kernel may merge the two signals into one.
        time.sleep(0.02)
        os.killpg(workers.process.pid, signal.SIGTERM)
        assert received(client).endswith(b"end\r\n0\r\n\r\n")
    assert workers.end() == sorted(["engine closed"] * count + ENDED[3 : 3 + count])
    assert workers.process.returncode == 0
    assert "immediately" not in workers.log


def test_a_second_signal(start):
    """A second signal ends all processes immediately."""
    workers = start()
    pids = workers.pids
    with contextlib.ExitStack() as clients:
        received(clients.enter_context(workers.ask("/sleeps")), b"a")
        clients.enter_context(workers.ask("/blocks"))
        workers.process.send_signal(signal.SIGTERM)
        wait(lambda: len(workers.pids) < 3)
        time.sleep(REPEAT)
        workers.process.send_signal(signal.SIGTERM)
        assert workers.process.wait(STOP) == 143
        wait(lambda: not any(map(workers.lives, pids)))
    assert "WARNING tatsumaki: stopped immediately by a second signal\n" in workers.log


def test_a_parent_that_is_killed(start):
    """If the parent is killed, its workers stop cleanly."""
    workers = start()
    pids = workers.pids
    workers.process.kill()
    assert workers.end() == ENDED
    wait(lambda: not any(map(workers.lives, pids)))
    assert "Traceback" not in workers.log


def test_stop(start):
    """`Server.stop` in one worker stops all workers."""
    workers = start()
    workers.get("/stops")
    assert workers.end() == ENDED
    assert workers.process.returncode == 0


def test_the_first_start_fails(popen, tmp_path):
    """If a worker does not start at first, the server ends with one line on stderr and status 1.
    The other workers stop, and their engines are closed.
    """
    (tmp_path / "fails-2").touch()
    variables = {"TATSUMAKI_PROCESSES": "3", "PORT": "0"}
    process = popen(sys.executable, PROGRAM, environment=variables, cwd=tmp_path)
    out, _ = process.communicate(timeout=10)
    assert process.returncode == 1
    assert sorted(out.splitlines()) == ["engine closed"] * 3 + ["stopped 1", "stopped 3"]
    lines = (tmp_path / "log").read_text().splitlines()
    (line,) = [line for line in lines if " INFO " not in line]
    assert line == "starts did not start: ValueError: no such\\x0ahost"


def test_a_later_start_fails(start, tmp_path):
    """If a replacement does not start, the parent tries again after longer and longer pauses. The
    other worker answers in the meantime.
    """
    workers = start(count=2)
    (tmp_path / "fails-1").touch()
    (tmp_path / "fails-2").touch()
    killed, stays = workers.pids
    os.kill(killed, signal.SIGKILL)
    wait(lambda: "starting it again in 0.4 seconds" in workers.log)
    assert workers.get()[1] == stays
    assert workers.log.count("ended with status 1: starts did not start: ValueError: ") == 2
    (tmp_path / "fails-1").unlink()
    (tmp_path / "fails-2").unlink()
    wait(lambda: workers.log.count(" is listening\n") == 3)
    workers.process.send_signal(signal.SIGTERM)
    assert workers.process.wait(STOP) == 0


SLOW = """
import os, sys, time
from tatsumaki_py import Application, MessageQueue, Server
from tatsumaki_py.message_queue.engine.memory import MemoryEngine
from tatsumaki_py.server import processes

class Shared(MemoryEngine):
    shared = True

processes.LONG = 0.3
MessageQueue.configure(Shared())
app = Application()

@app.on_start
def start():
    if os.environ["TATSUMAKI_WORKER"] == "2":
        time.sleep(60)
    if "fails" in sys.argv:
        raise ValueError("no such host")

Server(port=0, processes=2).run(app)
"""


def test_a_worker_that_hangs(popen, tmp_path):
    """The log names a worker that hangs at its start or at its stop. If the start of another worker
    fails, the one that hangs is killed.
    """
    (tmp_path / "app.py").write_text(SLOW)
    log = tmp_path / "log"
    process = popen(sys.executable, tmp_path / "app.py")
    wait(lambda: "is not listening after 0.3 seconds\n" in log.read_text())
    process.send_signal(signal.SIGTERM)
    wait(lambda: "has not ended after 0.3 seconds: kill -9 " in log.read_text())
    pid = int(log.read_text().split()[-3])
    os.kill(pid, signal.SIGKILL)
    assert process.wait(STOP) == 0
    assert f"worker 2 (process {pid}) was killed by SIGKILL\n" in log.read_text()
    process = popen(sys.executable, tmp_path / "app.py", "fails")
    assert process.wait(STOP) == 1
    assert log.read_text() == "start did not start: ValueError: no such host\n"


def test_systemd(start, tmp_path):
    """The parent notifies systemd once. A worker whose event loop is blocked is replaced."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox:
        inbox.bind(str(tmp_path / "notify"))
        inbox.setblocking(False)
        workers = start(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="500000")
        with workers.ask("/blocks"):
            wait(lambda: "has been blocked for 0.5 seconds: killing it" in workers.log)
            wait(lambda: workers.log.count(" is listening\n") == 4)
        workers.process.send_signal(signal.SIGTERM)
        assert workers.process.wait(STOP) == 0
        told = Counter(iter(lambda: next(receive(inbox)), None))
    assert told.pop(b"WATCHDOG=1") >= 3
    assert told == {b"READY=1": 1, b"STOPPING=1": 1}


def receive(inbox):
    with contextlib.suppress(BlockingIOError):
        yield inbox.recv(100)
    yield None


def test_connections_are_spread(start):
    """Workers get about equal numbers of connections, even if clients connect one after another. A
    new worker gets most of the next ones.
    """
    workers = start()
    clients = []

    def connect(count):
        for _ in range(count):
            client = workers.ask("/events/room?transport=ndjson")
            received(client, b"\r\n\r\n")
            clients.append(client)
            time.sleep(0.001)

    def spread():
        """The number of open descriptors of each worker."""
        return {pid: len(os.listdir(f"/proc/{pid}/fd")) for pid in workers.pids}

    connect(150)
    before = spread()
    os.kill(workers.pids[0], signal.SIGKILL)
    wait(lambda: workers.log.count(" is listening\n") == 4)
    (new,) = set(workers.pids) - set(before)
    empty = spread()[new]
    connect(50)
    gained = spread()[new] - empty
    # On a busy machine, the new worker may run too late, so that others accept some connections.
    assert max(before.values()) - min(before.values()) <= 40, before
    assert gained >= 20
    workers.process.send_signal(signal.SIGTERM)
    assert workers.process.wait(STOP) == 0
    for client in clients:
        client.close()


def test_no_request_is_lost(start):
    """No request fails while each worker is replaced."""
    workers = start()
    count, errors, stopping = Counter(), [], threading.Event()

    def repeat():
        while not stopping.is_set():
            try:
                count[workers.get()[1]] += 1
            except (OSError, http.client.HTTPException) as error:
                errors.append(error)

    threads = [threading.Thread(target=repeat) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait(lambda: len(count) == 3)
    for number, pid in enumerate(workers.pids, 1):
        os.kill(pid, signal.SIGTERM)
        wait(lambda number=number: workers.log.count(" is listening\n") == 3 + number)
    wait(lambda: len(count) == 6)
    stopping.set()
    for thread in threads:
        thread.join()
    assert errors == []
    workers.process.send_signal(signal.SIGTERM)
    assert workers.process.wait(STOP) == 0


def test_a_unix_socket(start, popen, tmp_path):
    """The workers share a Unix socket, and the parent removes its file."""
    path = tmp_path / "chat.sock"
    module = (sys.executable, "-m", "tatsumaki_py", f"{PROGRAM}:app")
    process = popen(*module, f"--unix={path}", "--processes=2", cwd=tmp_path)
    assert process.stdout.readline() == f"Listening on unix:{path} (Ctrl-C stops)\n"
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert received(client).startswith(b"HTTP/1.1 200 OK")
    process.send_signal(signal.SIGTERM)
    assert process.wait(STOP) == 0
    assert not path.exists()
