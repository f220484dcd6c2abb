"""A strictly typed user program needs no ignore comment."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.outside import NODE_MODULES, find_program, node_environment
from support.program import ROOT

PROGRAM = Path(__file__).with_name("user_program.py")
# Mistakes, and the rules of mypy and of pyright that report them.
MISTAKES = {
    "self.request.parm('a')": ("attr-defined", "reportAttributeAccessIssue"),
    "self.response.status = 'ok'": ("assignment", "reportAttributeAccessIssue"),
    "MessageQueue.instance(b'a')": ("call-overload", "reportCallIssue"),
    "MessageQueue.instance('a').poll_once(b'a')": ("call-overload", "reportArgumentType"),
    "MessageQueue.instance('a', 'b').publish({})": ("union-attr", "reportAttributeAccessIssue"),
    "await mq.poll('a')": ("misc", "reportGeneralTypeIssues"),
    "await mq.poll('a', print)": ("misc", "reportGeneralTypeIssues"),
    "await mq.poll_once('a', print)": ("misc", "reportGeneralTypeIssues"),
    "[event async for event in mq.poll_once('a')]": ("attr-defined", "reportGeneralTypeIssues"),
    "[event async for event in mq.poll('a', print)]": ("attr-defined", "reportGeneralTypeIssues"),
}


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory):
    """Makes a program with a mistake in each last line, and returns the first line number."""
    lines = ["from tatsumaki_py import Handler, MessageQueue", "class H(Handler):"]
    lines += ["    async def get(self) -> None:", "        mq = MessageQueue.instance('a')"]
    path = tmp_path_factory.mktemp("mistakes") / "mistakes.py"
    path.write_text("\n".join([*lines, *(f"        {mistake}" for mistake in MISTAKES)]))
    return path, len(lines) + 1


@pytest.fixture(scope="module")
def mypy(tmp_path_factory):
    """Runs strict mypy on a file, as a user would, without the configuration of this project."""
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
    """mypy accepts the user program."""
    assert "type: ignore" not in PROGRAM.read_text()
    done = mypy(PROGRAM)
    assert done.stdout == "Success: no issues found in 1 source file\n", done.stdout + done.stderr


def test_mistakes_are_found(mypy, mistakes):
    """mypy reports each mistake in the use of the package."""
    path, first = mistakes
    found = re.findall(r"mistakes\.py:(\d+): error: .*\[([\w-]+)\]", mypy(path).stdout)
    assert {(first + index, rules[0]) for index, rules in enumerate(MISTAKES.values())} == {
        (int(line), rule) for line, rule in found
    }


def test_pyright(mistakes, tmp_path):
    """Strict pyright accepts the user program and reports the same mistakes."""
    mistaken, first = mistakes
    for path in (PROGRAM, mistaken):
        shutil.copy(path, tmp_path)
    settings = {"strict": ["."], "extraPaths": [str(ROOT)]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    node, environment = find_program("node", "nodejs npm"), node_environment()
    command = [node, NODE_MODULES / "pyright/index.js", "--outputjson", "--project", tmp_path]
    done = subprocess.run(
        [*command, "--pythonpath", sys.executable], env=environment, capture_output=True, text=True
    )
    said = json.loads(done.stdout)
    assert said["summary"]["filesAnalyzed"] == 2
    found = {
        (Path(one["file"]).name, one["range"]["start"]["line"] + 1, one["rule"])
        for one in said["generalDiagnostics"]
    }
    expected = {
        (mistaken.name, first + index, rules[1]) for index, rules in enumerate(MISTAKES.values())
    }
    # pyright may report more about a line, such as an unknown type.
    assert expected <= found
    assert {place[:2] for place in found} == {place[:2] for place in expected}
