"""A user's program with strict types needs no ignore."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.program import ROOT

PROGRAM = Path(__file__).with_name("user_program.py")
MISTAKES = {
    "self.request.parm('a')": "attr-defined",
    "self.response.status = 'ok'": "assignment",
    "MessageQueue.instance(b'a')": "call-overload",
    "MessageQueue.instance('a').poll_once(b'a')": "arg-type",
    "MessageQueue.instance('a', 'b').publish({})": "union-attr",
}


@pytest.fixture(scope="module")
def mypy(tmp_path_factory):
    """Runs strict mypy on a file, as in a user's project: without the project's configuration."""
    if importlib.util.find_spec("mypy") is None:
        message = "NO MYPY: the types were not tested (pip install mypy)"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    cache = tmp_path_factory.mktemp("mypy")

    def run(path):
        return subprocess.run(
            [sys.executable, "-m", "mypy", "--strict", "--config-file=", path],
            cwd=cache,
            env={**os.environ, "MYPYPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )

    return run


def test_user_program(mypy):
    """Handlers with typed methods, all that they call, the queue, the application, the services."""
    assert "type: ignore" not in PROGRAM.read_text()
    done = mypy(PROGRAM)
    assert done.stdout == "Success: no issues found in 1 source file\n", done.stdout + done.stderr


def test_mistakes_are_found(mypy, tmp_path):
    """The package is typed, not merely silent: mistakes in its use are errors."""
    lines = ["from tatsumaki_py import Handler, MessageQueue", "class H(Handler):"]
    lines += ["    def get(self) -> None:", *(f"        {mistake}" for mistake in MISTAKES)]
    (tmp_path / "mistakes.py").write_text("\n".join(lines))
    done = mypy(tmp_path / "mistakes.py")
    for code in MISTAKES.values():
        assert f"[{code}]" in done.stdout
