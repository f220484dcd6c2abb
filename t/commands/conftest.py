"""Fixtures that run the commands, and servers for the commands."""

import subprocess
import sys

import pytest
from support.nginx import run_nginx  # noqa: F401
from support.program import ROOT

COMMAND = (sys.executable, "-W", "error", "-m", "tatsumaki_py")


@pytest.fixture
def http_server(serve_program):
    """A server process that a test may stop and start."""
    return serve_program("t/publisher/program.py")


@pytest.fixture(scope="module")
def server(serve_programs):
    """A server process for all tests of a file."""
    return serve_programs("t/publisher/program.py")


@pytest.fixture
def command():
    """`status, out, err = command("publish", ..., input="")` runs a command to its end."""

    def run(*arguments, input=None):
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=ROOT,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            timeout=20,
        )
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def mistake(capfd):
    """`status, line = mistake(module, ...)` runs a command, which must fail, in this process."""

    def run(module, *arguments):
        with pytest.raises(SystemExit) as caught:
            module.main([*arguments], "prog")
        output = capfd.readouterr()
        assert (output.out, output.err[:6], output.err.count("\n")) == ("", "prog: ", 1)
        return caught.value.code, output.err[6:-1]

    return run


@pytest.fixture
def subscribe(popen):
    """`process = subscribe(url, *flags)` starts the command; its stderr goes to the file `log`."""

    def start(*arguments, **options):
        return popen(*COMMAND, "subscribe", *arguments, cwd=ROOT, **options)

    return start
