"""docs/settings.md lists every setting with its correct default."""

import inspect
import re

import pytest
from support.program import ROOT

import tatsumaki_py
from tatsumaki_py import Handler, HTTPClient, Server, WebSocketHandler
from tatsumaki_py.commands import publish, serve, subscribe
from tatsumaki_py.json_codec import JSON
from tatsumaki_py.message_queue.engine.choose import VARIABLE as ENGINE
from tatsumaki_py.message_queue.engine.option import options_of
from tatsumaki_py.message_queue.engine.redis.options import RedisOptions
from tatsumaki_py.message_queue.engine.sqlite.options import SQLiteOptions
from tatsumaki_py.publisher import Publisher
from tatsumaki_py.push.websocket import UNREAD_MESSAGE_SIZE
from tatsumaki_py.server.addresses import HOST, PORT, VARIABLES
from tatsumaki_py.server.forking import PROCESSES
from tatsumaki_py.server.http_server import LIMITS
from tatsumaki_py.server.worker import VARIABLE as WORKER

PAGE = (ROOT / "docs/settings.md").read_text()
SERVER = "The server, its command line and its environment"
SOURCES = VARIABLES | {"processes": (PROCESSES,)}
FLAGS = {action.dest: action for action in serve.make_parser()._actions}
# Attributes of handlers that are not settings.
STATE = {"channel", "close_code", "close_reason", "log", "request", "stream_write", "ui"}
CLASSES = {
    "The queue": "MessageQueue",
    "Handlers": "Handler",
    "WebSocketHandler": "WebSocketHandler",
    "SubscribeHandler": "SubscribeHandler",
    "PublishHandler": "PublishHandler",
    "HealthHandler": "HealthHandler",
    "MetricsHandler": "MetricsHandler",
}
# Settings with a number but without a unit: a port, and the number of a database.
UNITLESS = {"port", "db"}


def read_table(title):
    """Returns the rows of the table below that heading, as dicts by column."""
    (section,) = re.findall(rf"^##+ {re.escape(title)}\n(.*?)(?=^##|\Z)", PAGE, re.M | re.S)
    head, _, *lines = (line for line in section.splitlines() if line.startswith("|"))
    names = cells(head)
    return [dict(zip(names, cells(line), strict=True)) for line in lines]


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def named(rows, column="name"):
    """Returns all names in that column."""
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row[column])]


def assert_defaults(rows, defaults):
    """Asserts that the rows have exactly these names and defaults."""
    assert sorted(named(rows)) == sorted(defaults)
    for row in rows:
        name, default = row["name"].strip("`"), row["default"].strip("`")
        value = JSON if default == "compact JSON" else eval(default)
        assert value == defaults[name], name
        assert type(value) is type(defaults[name]), name


def own_settings(kind):
    """Returns the attributes of a class that hold values, without those of `Handler`."""
    found = {}
    for one in kind.__mro__:
        if not one.__module__.startswith("tatsumaki_py") or (one is Handler is not kind):
            break
        for name in [*vars(one), *inspect.get_annotations(one)]:
            if not name.startswith("_") and not hasattr(vars(one).get(name), "__get__"):
                found.setdefault(name, getattr(kind, name, None))
            elif name == "json":
                found.setdefault(name, JSON)
    return {name: value for name, value in found.items() if name not in STATE}


@pytest.mark.parametrize("title", CLASSES)
def test_attributes(title):
    """The table of a class lists every setting with its default."""
    kind = getattr(tatsumaki_py, CLASSES[title])
    settings = own_settings(kind)
    if "allow_credentials" in settings:
        settings["allow_credentials"] = False
    if kind is WebSocketHandler:
        # The settings of streams are in the table of all handlers.
        assert settings.keys() - {"plain_messages"} <= set(named(read_table("Handlers")))
        settings = {"plain_messages": False, "max_message_size": UNREAD_MESSAGE_SIZE}
    assert_defaults(read_table(title), settings)


@pytest.mark.parametrize("kind", [Publisher, HTTPClient], ids=lambda kind: kind.__name__)
def test_constructors(kind):
    """The table of a class lists every argument with its default."""
    arguments = inspect.signature(kind).parameters.values()
    defaults = {one.name: one.default for one in arguments if one.kind is not one.VAR_KEYWORD}
    assert_defaults(read_table(kind.__name__), defaults)


def test_server_arguments():
    """The table lists every argument of `Server`, with its default, flag and variable."""
    arguments = dict(inspect.signature(Server).parameters)
    del arguments["options"]
    defaults = {name: argument.default for name, argument in arguments.items()} | LIMITS
    defaults |= {"host": HOST, "port": PORT, "xheaders": False, "ssl_options": None}
    rows = [row for row in read_table(SERVER) if row["name"]]
    assert_defaults(rows, defaults)
    for row in rows:
        variables = SOURCES.get(row["name"].strip("`"), ())
        assert named([row], "environment") == [*variables]


def test_environment():
    """The table lists every environment variable that the package reads."""
    read = set()
    for path in (ROOT / "tatsumaki_py").rglob("*.py"):
        read |= set(re.findall(r"environ\.(?:get|pop)\(\"(\w+)\"", path.read_text()))
    known = {name for variables in SOURCES.values() for name in variables} | {ENGINE, WORKER}
    assert sorted(named(read_table(SERVER), "environment")) == sorted(read | known)


def test_flags():
    """The tables list every flag of the three commands."""
    flags = [flag for action in FLAGS.values() for flag in action.option_strings]
    assert sorted(named(read_table(SERVER), "flag")) == sorted(flags)
    for module in (publish, subscribe):
        name = module.__name__.rpartition(".")[2]
        actions = module.make_parser(name)._actions
        flags = [flag for action in actions for flag in action.option_strings]
        assert sorted(named(read_table(f"tatsumaki {name}"))) == sorted({*flags} - {"-h", "--help"})


@pytest.mark.parametrize("name", ["grace", "drain_delay", "drain_time"])
def test_help(name):
    """The defaults in --help are those of `Server`."""
    parameters = inspect.signature(Server).parameters
    assert f"(default: {parameters[name].default:g})" in FLAGS[name].help
    assert f"(default: {parameters['mode'].default:o})" in FLAGS["mode"].help


@pytest.mark.parametrize(("title", "kind"), [("Redis", RedisOptions), ("SQLite", SQLiteOptions)])
def test_engines(title, kind):
    """The table lists every option of an engine in order, with its default and unit."""
    expected = [
        [f"`{name}`", shown(field.default), field.metadata["option"]["unit"]]
        for name, field in options_of(kind).items()
    ]
    rows = read_table(title)
    assert [[row["name"], row["default"], row["unit"]] for row in rows] == expected


def shown(default):
    """Formats a default as the table of an engine does."""
    if default is None:
        return "none"
    if isinstance(default, bool):
        return f"`{'yes' if default else 'no'}`"
    return f"`{default:.10g}`" if isinstance(default, int | float) else f"`{default}`"


def test_javascript():
    """The table lists every option of tatsumaki.js, and the guide describes it."""
    declared = (ROOT / "tatsumaki_py/static/tatsumaki.d.ts").read_text()
    options = declared.partition("export type Options = {")[2].partition("\n};")[0]
    names = sorted(re.findall(r"^    (\w+)\?:", options, re.M))
    assert sorted(named(read_table("tatsumaki.js"))) == names
    guide = (ROOT / "docs/guide/browser.md").read_text()
    table = guide.partition("## Options")[2].partition("|---|---|---|\n")[2].partition("\n\n")[0]
    described = [
        name for line in table.splitlines() for name in re.findall(r"`(\w+)", cells(line)[0])
    ]
    assert sorted(described) == names


def test_make():
    """The table lists every variable that make takes."""
    makefile = (ROOT / "Makefile").read_text()
    names = re.findall(r"\$\(origin (\w+)\)|^(\w+) \?=|\$\((ARGS)\)", makefile, re.M)
    assert sorted(named(read_table("make"))) == sorted({"".join(groups) for groups in names})


def test_every_row():
    """Each setting has a meaning, a version and, if it is a number, a unit."""
    titles = re.findall(r"^##+ (.*)\n(?:(?!^#)[^|])*\|", PAGE, re.M)
    rows = [row for title in titles for row in read_table(title)]
    assert len(rows) > 100
    for row in rows:
        assert row["since"] in ("0.1", "0.2"), row
        assert row["meaning"], row
        number = re.fullmatch(r"`[\d.]+`", row["default"])
        assert not number or row["unit"] or row["name"].strip("`") in UNITLESS, row
