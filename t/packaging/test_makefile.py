"""The targets of the Makefile that need no download."""

import os
import re
import signal
import subprocess
import sys

import pytest
from support.program import ROOT, free_port

PHONY = re.search(r"\.PHONY: (.*)", (ROOT / "Makefile").read_text())[1].split()


@pytest.fixture
def make(tmp_path):
    """Runs make with a venv that is already set up, with the Python of this test."""
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    # A file records what pip was asked to install.
    pip = f'if [ "$2" = pip ]; then echo "$@" >> {tmp_path}/installed; exit; fi'
    (venv / "bin/python").write_text(f'#!/bin/sh\n{pip}\nexec {sys.executable} "$@"\n')
    (venv / "bin/python").chmod(0o755)
    for stamp in (".run", ".test", ".npm", ".docs", ".dev"):
        (venv / stamp).touch()
    # Ignore the variables of a make that runs this test.
    env = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    for name in ("PYTHON", "TATSUMAKI_HOST", "TATSUMAKI_PORT", "TATSUMAKI_ENGINE"):
        env.pop(name, None)
    processes = []

    def start(*args, **more):
        process = subprocess.Popen(
            ["make", f"VENV={venv}", *args],
            cwd=ROOT,
            env=env | more,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_help_is_the_default(make):
    """`make` alone lists every target in one line each."""
    process = make()
    out, err = process.communicate(timeout=10)
    assert re.findall(r"^make ([\w-]+) ", out, re.M) == [name for name in PHONY if name != "help"]
    assert (process.returncode, err) == (0, "")


CONDA = {"HOST": "x86_64-conda-linux-gnu", "TATSUMAKI_PORT": "1"}


@pytest.mark.parametrize(("target", "how"), [("chat", "argument"), ("demo", "environment")])
def test_serves_until_interrupted(make, target, how):
    """HOST and PORT as arguments win over the environment. In the environment, PORT is read and
    HOST is not. Ctrl-C ends the program without an error.
    """
    port = str(free_port())
    if how == "argument":
        process = make(target, "HOST=localhost", f"PORT={port}", **CONDA)
    else:
        process = make(target, PORT=port, HOST=CONDA["HOST"])
    host = "localhost" if how == "argument" else "127.0.0.1"
    assert f"http://{host}:{port}/" in process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert "Error" not in err
    assert "Traceback" not in err


def test_engine_and_processes(make, redis_server, tmp_path):
    """ENGINE and PROCESSES reach the program. redis-py is installed once, and a line says so."""
    for installed in (1, 0):
        options = [f"PORT={free_port()}", f"ENGINE={redis_server.url}", "PROCESSES=2"]
        process = make("chat", *options, PROCESSES="many", ENGINE="other")
        assert process.stdout.readline().startswith("Listening on ")
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=10)
        assert " worker 2: process " in err
        said = err.count("Installing redis, the client of the Redis engine ...\n")
        assert said == installed
    assert (tmp_path / "installed").read_text().count("install --quiet --editable .[redis]\n") == 1


def test_arguments_reach_pytest(make):
    """`make test ARGS=...` selects tests."""
    process = make("test", "ARGS=t/foundation/test_log.py -k exempt -n 0")
    out, _ = process.communicate(timeout=60)
    assert re.search(r"\n=+ 1 passed, \d+ deselected", out)


def test_old_python(make, tmp_path):
    """Without a Python that is new enough, one line names the required version."""
    fake = tmp_path / "python2"
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    process = make("chat", f"PYTHON={fake}", f"VENV={tmp_path}/other")
    _, err = process.communicate(timeout=10)
    assert process.returncode == 2
    assert err.startswith("Python 3.11 or later is needed, ")
    assert not (tmp_path / "other").exists()


def test_no_venv_module(make, tmp_path):
    """With Debian's python3 but without python3-venv, the error names that package."""
    fake = tmp_path / "python3"
    fake.write_text(
        f'#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\nexec {sys.executable} "$@"\n'
    )
    fake.chmod(0o755)
    process = make("chat", f"PYTHON={fake}", f"VENV={tmp_path}/other")
    _, err = process.communicate(timeout=10)
    assert process.returncode == 2
    assert "apt install python3-venv" in err.splitlines()[0]
    assert not (tmp_path / "other").exists()
