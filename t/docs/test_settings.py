"""The table of settings is complete, and true."""

import inspect
import re

import pytest
from support.program import ROOT

from tatsumaki_py import Server
from tatsumaki_py.commands.serve import make_parser
from tatsumaki_py.message_queue.engine.choose import VARIABLE as ENGINE
from tatsumaki_py.server.addresses import HOST, PORT, VARIABLES
from tatsumaki_py.server.forking import PROCESSES
from tatsumaki_py.server.http_server import LIMITS
from tatsumaki_py.server.worker import VARIABLE as WORKER

PAGE = (ROOT / "docs/guide/running.md").read_text()
ARGUMENTS = dict(inspect.signature(Server).parameters)
del ARGUMENTS["options"]
DEFAULTS = {name: argument.default for name, argument in ARGUMENTS.items()} | LIMITS
DEFAULTS |= {"host": HOST, "port": PORT, "xheaders": False, "ssl_options": None}
SOURCES = VARIABLES | {"processes": (PROCESSES,)}
FLAGS = {action.dest: action for action in make_parser()._actions}


def rows():
    """The rows as lists of cells."""
    table = PAGE.partition("## Settings")[2].partition("|---|---|---|---|---|\n")[2]
    for line in table.partition("\n\n")[0].splitlines():
        yield [cell.strip() for cell in line.strip("|").split("|")]


def names(column):
    """All names in that column."""
    return [name for row in rows() for name in re.findall(r"`([^`]+)`", row[column])]


def test_flags():
    """Every flag, in the order of --help."""
    flags = [flag for action in FLAGS.values() for flag in action.option_strings]
    assert sorted(names(0)) == sorted(flags)


def test_arguments():
    """Every argument of `Server`, with its default."""
    assert sorted(names(1)) == sorted(DEFAULTS)
    for _, argument, _, default, _ in rows():
        if argument:
            assert eval(default.strip("`")) == DEFAULTS[argument.strip("`")], argument


def test_variables():
    """Every name that the package reads in the environment, and that of each setting."""
    read = set()
    for path in (ROOT / "tatsumaki_py").rglob("*.py"):
        read |= set(re.findall(r"environ\.(?:get|pop)\(\"(\w+)\"", path.read_text()))
    known = {name for variables in SOURCES.values() for name in variables} | {ENGINE, WORKER}
    assert sorted(names(2)) == sorted(read | known)
    for _, argument, variables, _, _ in rows():
        if argument:
            expected = SOURCES.get(argument.strip("`"), ())
            assert re.findall(r"`(\w+)`", variables) == [*expected]


@pytest.mark.parametrize("name", ["grace", "drain_delay", "drain_time"])
def test_help(name):
    """The defaults that --help names are those of `Server`."""
    assert f"(default: {DEFAULTS[name]:g})" in FLAGS[name].help
    assert f"(default: {DEFAULTS['mode']:o})" in FLAGS["mode"].help
