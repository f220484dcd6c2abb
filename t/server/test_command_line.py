"""The command ``tatsumaki``, or ``python -m tatsumaki_py``."""

import os
import platform
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import tornado
from support.program import ROOT, STOP
from tornado.testing import AsyncHTTPSTestCase

from tatsumaki_py import Server, __version__
from tatsumaki_py.command_line import main
from tatsumaki_py.commands import serve
from tatsumaki_py.program import SERVED_FILE
from tatsumaki_py.served_app import load

MODULE = (sys.executable, "-m", "tatsumaki_py")
SCRIPT = (str(Path(sys.executable).parent / "tatsumaki"),)
TLS = AsyncHTTPSTestCase.default_ssl_options()

APP = """
from tatsumaki_py import Application
import beside
app = Application()
"""
TORNADO = """
import tornado.web
import beside
app = tornado.web.Application()
"""
OTHER = """
import sys
from tatsumaki_py import Application, Handler

class Who(Handler):
    def get(self):
        self.log("asked")
        self.write(f"{self.request.remote_ip} {self.application.template_path}")

other = Application({"/who": Who})
"""

SECOND = """
import threading
from tatsumaki_py import Application, Server
app = Application()
server = Server("127.0.0.1", 0)
thread = threading.Thread(target=lambda: server.run(Application()))
thread.start()
assert server.listening.wait(5)
server.stop()
thread.join()
"""


@pytest.fixture
def start(popen, tmp_path):
    """Starts a command in `tmp_path` and returns the process. Its stderr goes to the file `log`."""

    def run(*command, **environment):
        return popen(*command, environment=environment, cwd=tmp_path)

    return run


def stop(process):
    process.send_signal(signal.SIGTERM)
    assert process.wait(STOP) == 0


@pytest.mark.parametrize("source", [APP, TORNADO])
def test_serves_app(start, tmp_path, source):
    """The command serves the application of a file, even a plain one of Tornado. The file may
    import modules from its folder.
    """
    (tmp_path / "app.py").write_text(source)
    (tmp_path / "beside.py").write_text("")
    process = start(*MODULE, "--port", 0, tmp_path / "app.py")
    assert process.stdout.readline().startswith("Listening on http://127.0.0.1:")
    stop(process)


def test_many_flags(start, tmp_path):
    """The flags work together: several addresses with a line for each, TLS, `--xheaders`, no access
    log.
    """
    (tmp_path / "chat").mkdir()
    (tmp_path / "chat/templates").mkdir()
    (tmp_path / "chat/web.py").write_text(OTHER)
    flags = ["--host=127.0.0.1", "--host=localhost", "--port=0", "--unix=chat.sock", "--mode=600"]
    flags += [f"--cert={TLS['certfile']}", f"--key={TLS['keyfile']}", "--xheaders"]
    process = start(*SCRIPT, *flags, "--no-access-log", "--log-level=WARNING", "chat.web:other")
    log = tmp_path / "log"
    lines = [process.stdout.readline() for _ in range(3)]
    port = int(lines[0].split(":")[2].split("/")[0])
    assert lines == [
        f"Listening on https://127.0.0.1:{port}/ (Ctrl-C stops)\n",
        f"Listening on https://localhost:{port}/ (Ctrl-C stops)\n",
        "Listening on unix:chat.sock (Ctrl-C stops)\n",
    ], log.read_text()
    assert (tmp_path / "chat.sock").stat().st_mode & 0o777 == 0o600
    request = urllib.request.Request(
        f"https://127.0.0.1:{port}/who", headers={"X-Real-IP": "192.0.2.7"}
    )
    context = ssl._create_unverified_context()
    with urllib.request.urlopen(request, timeout=5, context=context) as answer:
        # The application looks for templates beside the module.
        assert answer.read().decode() == f"192.0.2.7 {tmp_path}/chat/templates"
    stop(process)
    assert log.read_text() == ""


FAILS = """
from tatsumaki_py import Application
app = Application()
app.on_start(lambda: 1 / 0)
"""


def test_reload(start, tmp_path):
    """With `--reload`, the command tries again after a change, whether the file raised an
    exception, its application did not start, or it ran.
    """
    path, log = tmp_path / "app.py", tmp_path / "log"
    path.write_text("from broken import app\n")
    (tmp_path / "broken.py").write_text("1 +\n")
    process = start(*SCRIPT, "--reload", "--port=0", "app.py")

    def change(text, times):
        deadline = time.monotonic() + 10
        # The command must see the file once before it can notice a change.
        while log.read_text().count("broken.py modified") < times and time.monotonic() < deadline:
            (tmp_path / "broken.py").write_text(text)
            os.utime(tmp_path / "broken.py", (time.time(), time.time()))
            time.sleep(0.1)

    def wait(text):
        deadline = time.monotonic() + 10
        while text not in log.read_text() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert text in log.read_text()

    wait("SyntaxError")
    change(FAILS, 1)
    wait("lambda> did not start: ZeroDivisionError")
    change("app = 1\n", 2)
    wait("has no app")
    assert log.read_text().endswith("tatsumaki: app.py has no app = Application(...)\n")
    assert process.wait(STOP) == 2


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Lets the command run in this process, and restores what it changes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, SERVED_FILE, None)


@pytest.fixture
def mistake(here, capsys):
    """Runs the command with bad arguments, and returns its line on stderr."""

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main([*arguments])
        output = capsys.readouterr()
        assert (caught.value.code, output.out) == (2, "")
        prefix, _, line = output.err.partition(": ")
        assert prefix == "tatsumaki"
        assert line.count("\n") == 1
        return line.rstrip("\n")

    return run


def test_no_such_application(mistake, tmp_path):
    """A missing file, module or application causes one clear line."""
    (tmp_path / "none.py").write_text("app = 1")
    assert mistake("nofile.py") == "no such file: nofile.py"
    assert mistake("no/module") == "no such file: no/module"
    assert mistake("no\nfile") == "no such file: no\\x0afile"
    assert mistake("nomodule") == "no such file or module: nomodule"
    assert mistake("no.module:app") == "no such file or module: no.module"
    assert mistake("none.py") == "none.py has no app = Application(...)"
    assert mistake("none.py:other") == "none.py has no other = Application(...)"
    assert mistake("json") == "json has no app = Application(...)"
    assert mistake() == "the following arguments are required: app"


@pytest.mark.parametrize(
    "serve", ["Server(port=0).run(app)", "import asyncio; asyncio.run(Server(port=0).serve(app))"]
)
def test_a_program_that_serves_itself(mistake, tmp_path, serve):
    """A file that runs a server itself is refused, because it would be served twice; the error
    names the fix.
    """
    source = "from tatsumaki_py import Application, Server\napp = Application()\n"
    (tmp_path / "program.py").write_text(source + serve)
    assert mistake("program.py") == (
        'program.py runs a Server itself: put that under `if __name__ == "__main__":`, '
        "or run the program without this command"
    )


def test_a_second_server(here, tmp_path):
    """A file may run a server for another application in a thread."""
    (tmp_path / "program.py").write_text(SECOND)
    load("program.py")


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--port=80a"], "argument -p/--port: '80a' is not a number from 0 to 65535"),
        (["-p", "65536"], "argument -p/--port: '65536' is not a number from 0 to 65535"),
        (["--grace=-1"], "argument --grace: '-1' is not a number of seconds"),
        (["--drain-delay=nan"], "argument --drain-delay: 'nan' is not a number of seconds"),
        (["--mode=999"], "argument --mode: permissions must be in octal, such as 660, not '999'"),
        (
            ["--unix=x", "--reuse-port"],
            "--reuse-port cannot be combined with --unix: only one process can listen there",
        ),
        (["--unix="], "--unix takes the path of a file, not ''"),
        (["--mode=600"], "--mode needs --unix"),
        (["--processes=x"], "argument --processes: 'x' is not a number from 0 to 1000"),
        (["--processes=2", "--reload"], "--reload needs one process, not 2"),
        (["--po=0"], "unrecognized arguments: --po=0"),
        (["--cert=x"], "--cert and --key go together"),
        (["--key=x"], "--cert and --key go together"),
        (["--cert=x", "--key=y"], "--cert x cannot be read: No such file or directory"),
        (["--cert=c.pem", "--key=."], "--key . cannot be read: Is a directory"),
        (
            [f"--cert={TLS['certfile']}", "--key=other.pem"],
            f"--cert {TLS['certfile']} and --key other.pem cannot be used: "
            "the key belongs to another certificate",
        ),
        (
            ["--cert=c.pem", "--key=c.pem"],
            "--cert c.pem and --key c.pem cannot be used: not in PEM format",
        ),
        (
            [f"--cert={TLS['certfile']}", "--key=secret.pem"],
            "the key of --key is encrypted: decrypt it with openssl pkey",
        ),
    ],
)
def test_bad_values(mistake, tmp_path, flags, line):
    """The error for a bad flag comes before the file runs."""
    (tmp_path / "c.pem").write_text("no certificate")
    if "--key=other.pem" in flags:
        command = ["openssl", "genpkey", "-algorithm", "rsa", "-out", "other.pem", "-quiet"]
        subprocess.run(command, check=True, cwd=tmp_path)
    if "--key=secret.pem" in flags:
        command = ["openssl", "pkey", "-in", TLS["keyfile"], "-aes256", "-passout", "pass:x"]
        subprocess.run([*command, "-out", "secret.pem"], check=True, cwd=tmp_path)
    assert mistake(*flags, "nofile.py") == line


def test_log_level(mistake):
    """The error for an unknown log level lists the valid ones."""
    line = mistake("--log-level=loud", "app.py")
    assert line.startswith("argument --log-level: invalid choice: 'loud' (choose from ")
    assert all(level in line for level in ("debug", "info", "warning", "error", "critical"))


@pytest.mark.parametrize(
    ("flags", "options"),
    [
        ([], {}),
        (["-o", "::1", "-o", "a", "-p", "0"], {"host": ["::1", "a"], "port": 0}),
        (["--unix=x", "--mode=600"], {"unix": "x", "mode": 0o600}),
        (["--processes=0"], {"processes": 0}),
        (["--reuse-port", "--xheaders"], {"reuse_port": True, "xheaders": True}),
        (
            ["--grace=0.5", "--drain-delay=1", "--drain-time=2"],
            {"grace": 0.5, "drain_delay": 1.0, "drain_time": 2.0},
        ),
    ],
)
def test_arguments_of_the_server(mistake, monkeypatch, flags, options):
    """Each flag becomes the argument of `Server` with the same name; the defaults are those of
    `Server`.
    """
    given = []
    monkeypatch.setattr(serve, "Server", lambda **options: given.append(options) or Server())
    mistake(*flags, "nofile.py")
    assert given == [{"ssl_options": None, **options}]


def test_where_a_value_came_from(here, tmp_path, monkeypatch):
    """The error for an address in use names the flag it came from, and the flag that changes it."""
    (tmp_path / "app.py").write_text("import tornado.web; app = tornado.web.Application()")
    monkeypatch.delenv("TATSUMAKI_HOST", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as caught:
            main([f"--port={port}", "app.py"])
    assert caught.value.code == (
        f"Cannot listen on 127.0.0.1:{port}: Address already in use (host by default, port from "
        f"--port). Stop the program that uses port {port}, or choose another port with --port or "
        "TATSUMAKI_PORT."
    )


@pytest.mark.parametrize("error", [ValueError, ModuleNotFoundError])
def test_an_error_of_the_program(here, tmp_path, error):
    """An exception of the file is raised with its traceback, even if it is one that the command
    itself handles.
    """
    (tmp_path / "app.py").write_text(f"raise {error.__name__}('mine')")
    with pytest.raises(error, match="mine"):
        main(["app.py"])


@pytest.mark.parametrize("command", [MODULE, SCRIPT])
def test_version_and_help(command):
    """Both commands show their own name."""
    python = platform.python_version()
    out = subprocess.run([*command, "--version"], capture_output=True, text=True, cwd=ROOT).stdout
    assert out == f"tatsumaki_py {__version__} (Tornado {tornado.version}, Python {python})\n"
    if command is MODULE:
        out = subprocess.run([*command, "--help"], capture_output=True, text=True, cwd=ROOT).stdout
        assert out.startswith("usage: python -m tatsumaki_py [-h] ")
