"""Socket activation by systemd, and notifications to it."""

import asyncio
import os
import signal
import socket
import sys
import tempfile
import time

import pytest
from support.outside import find_program
from support.program import STOP, free_port

from tatsumaki_py.server import systemd
from tatsumaki_py.server.addresses import Addresses, ListenError
from tatsumaki_py.server.announcing import Announcer

PROGRAM = """
import os
from tatsumaki_py import Application, Handler, Server

class Inherits(Handler):
    def get(self):
        names = [name for name in os.environ if name.startswith("LISTEN_")]
        self.write([names, os.get_inheritable(3), os.get_inheritable(4)])

app = Application([("/", Inherits)], autoreload=True)
Server(host="192.0.2.1", port=1).run(app)
"""
# Acts like systemd: the sockets become descriptors 3 and up, and LISTEN_PID is set.
ACTIVATE = """
import fcntl, os, sys
sockets, command = sys.argv[1].split(","), sys.argv[2:]
copies = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sockets]
for place, number in enumerate(copies, 3):
    os.dup2(number, place)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(command[0], command)
"""


@pytest.fixture
def inbox(tmp_path):
    """Makes the socket that receives notifications; an address that begins with @ has no file."""
    made = []

    def make(address=tmp_path / "notify"):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        made.append(sock)
        sock.settimeout(5)
        sock.bind(str(address).replace("@", "\0", 1))
        return sock

    yield make
    for sock in made:
        sock.close()


@pytest.fixture
def start(popen, tmp_path):
    """Starts the program with `command`. Its stderr goes to the file `log`."""
    (tmp_path / "program.py").write_text(PROGRAM)

    def run(*command, **options):
        return popen(*command, sys.executable, tmp_path / "program.py", **options)

    return run


def test_a_service(start, inbox, tmp_path):
    """The sockets from systemd replace host and port, and their file stays. systemd is notified of
    each stage. Child processes do not inherit the sockets.
    """
    notified, path = inbox(), tmp_path / "chat.sock"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(path))
        unix.listen()
        port = tcp.getsockname()[1]
        # A client that connects before the program runs is served.
        early = socket.create_connection(("127.0.0.1", port), timeout=5)
        early.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        numbers = [tcp.fileno(), unix.fileno()]
        process = start(
            *(sys.executable, "-c", ACTIVATE, ",".join(map(str, numbers))),
            pass_fds=numbers,
            environment={
                "LISTEN_FDS": "2",
                "LISTEN_FDNAMES": "web:local",
                "NOTIFY_SOCKET": str(tmp_path / "notify"),
                "WATCHDOG_USEC": "100000",
            },
        )
        assert [process.stdout.readline() for _ in range(2)] == [
            f"Listening on http://127.0.0.1:{port}/ (Ctrl-C stops)\n",
            f"Listening on unix:{path} (Ctrl-C stops)\n",
        ], (tmp_path / "log").read_text()
        with early, early.makefile("rb") as answer:
            assert answer.read().replace(b" ", b"").endswith(b"\r\n\r\n[[],false,false]")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(15) == b"HTTP/1.1 200 OK"
        messages = [notified.recv(100) for _ in range(3)]
        assert messages == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP) == 0
        notified.setblocking(False)
        assert b"STOPPING=1" in iter(lambda: notified.recv(100), b"")
    assert path.exists()
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_systemds_own_tool(start, tmp_path):
    """systemd-socket-activate starts the program when the first client connects. After a reload,
    the program still has the socket.
    """
    port = free_port()
    variables = [f"-E{name}" for name in ("PYTHONPATH", "PATH")]
    program = find_program("systemd-socket-activate", "systemd")
    process = start(program, f"-l127.0.0.1:{port}", *variables)

    deadline = time.monotonic() + 15
    while True:
        try:
            client = socket.create_connection(("127.0.0.1", port), timeout=5)
            break
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    with client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(15) == b"HTTP/1.1 200 OK"
    line = f"Listening on http://127.0.0.1:{port}/ (Ctrl-C stops)\n"
    assert process.stdout.readline() == line
    while "program.py modified" not in (tmp_path / "log").read_text():
        # The program must see the file once before it can notice a change.
        assert time.monotonic() < deadline
        time.sleep(0.1)
        os.utime(tmp_path / "program.py")
    assert process.stdout.readline() == line
    process.send_signal(signal.SIGTERM)
    assert process.wait(STOP) == 0


@pytest.fixture
def activated(monkeypatch):
    """Sets the variables that systemd sets, for descriptors starting at `first`."""

    def set_up(first, count, process=None, names=None):
        monkeypatch.setattr(systemd, "FIRST_DESCRIPTOR", first)
        monkeypatch.setenv("LISTEN_PID", str(process or os.getpid()))
        monkeypatch.setenv("LISTEN_FDS", str(count))
        if names is not None:
            monkeypatch.setenv("LISTEN_FDNAMES", names)

    yield set_up
    # The variables are removed even if the sockets could not be used.
    assert not [name for name in os.environ if name.startswith("LISTEN_")]


def test_used_once(activated):
    """Only the first server of a process uses the sockets; another listens on its own address."""
    given = socket.create_server(("127.0.0.1", 0))
    activated(given.fileno(), 1)
    first, second = Addresses("127.0.0.1", 0), Addresses("127.0.0.1", 0)
    first.bind()
    second.bind()
    assert first.port == given.getsockname()[1] != second.port
    assert not first.listen()[0].getblocking()
    first.close()
    second.close()
    given.detach()


def test_no_port(activated, tmp_path):
    """With a Unix socket from systemd, the server has no port."""
    given = socket.socket(socket.AF_UNIX)
    given.bind(str(tmp_path / "chat.sock"))
    given.listen()
    activated(given.fileno(), 1)
    addresses = Addresses()
    addresses.bind()
    assert addresses.port is None
    assert addresses.urls("http") == [f"unix:{tmp_path}/chat.sock"]
    addresses.close()
    given.detach()


def test_an_abstract_socket(activated):
    """The URL of an abstract socket has systemd's notation, with an @."""
    given = socket.socket(socket.AF_UNIX)
    given.bind(f"\0tatsumaki-test-{os.getpid()}")
    given.listen()
    activated(given.fileno(), 1)
    addresses = Addresses()
    addresses.bind()
    assert addresses.urls("http") == [f"unix:@tatsumaki-test-{os.getpid()}"]
    addresses.close()
    given.detach()


def test_for_another_process(activated, expect_log):
    """Sockets for another process are not used, and a log line says so."""
    with socket.create_server(("127.0.0.1", 0)) as given:
        activated(given.fileno(), 1, process=1)
        with expect_log("tatsumaki", "LISTEN_PID is 1, and this process is "):
            assert systemd.activated_sockets() == []
        assert given.fileno() != -1


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (socket.socket, "is not a listening stream socket: the unit needs ListenStream="),
        (lambda: socket.socket(type=socket.SOCK_DGRAM), "is not a listening stream socket"),
        (tempfile.TemporaryFile, "Socket operation on non-socket"),
    ],
)
def test_no_listening_socket(activated, make, reason):
    """The error names a descriptor that cannot be used, with its name from the unit."""
    given = make()
    number = os.dup(given.fileno())
    given.close()
    activated(number, 1, names="chat.socket")
    with pytest.raises(ListenError) as caught:
        Addresses().bind()
    assert str(caught.value).startswith(f"Cannot listen: descriptor {number} 'chat.socket' of")
    assert reason in str(caught.value)
    if "non-socket" in reason:
        os.close(number)


@pytest.mark.parametrize("count", ["two", "-1", "9" * 5000])
def test_no_number(activated, count):
    """The error for a bad LISTEN_FDS names the value."""
    activated(3, count)
    with pytest.raises(ListenError, match=f"LISTEN_FDS must be a number, not '{count}'"):
        Addresses().bind()


def test_abstract(inbox, monkeypatch):
    """An @ in NOTIFY_SOCKET stands for a zero byte. Without that variable, nothing is sent."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd.notify("READY=1")
    address = f"@tatsumaki-test-{os.getpid()}"
    notified = inbox(address)
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    systemd.notify("STOPPING=1")
    assert notified.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize("unix", [True, False])
def test_nobody_there(monkeypatch, tmp_path, expect_log, unix):
    """If systemd cannot be notified, one line is logged and the program continues, even on a system
    without Unix sockets.
    """
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "none"))
    if not unix:
        monkeypatch.delattr(socket, "AF_UNIX")
    with expect_log("tatsumaki", "systemd cannot be notified of READY=1 at ") as records:
        systemd.notify("READY=1")
        systemd.notify("STOPPING=1")
    assert len(records) == 1


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "9" * 5000},
        {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"},
    ],
)
def test_no_watchdog(monkeypatch, inbox, tmp_path, variables):
    """Nothing is sent without a watchdog, with a watchdog for another process, or without a valid
    period.
    """
    notified = inbox()
    notified.setblocking(False)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    asyncio.run(asyncio.wait_for(Announcer().keep_alive(), 1))
    with pytest.raises(BlockingIOError):
        notified.recv(100)
