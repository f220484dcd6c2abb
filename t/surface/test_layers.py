"""The house: modules import only what is below them."""

import ast
import sys

import pytest
from support.program import ROOT

PACKAGE = ROOT / "tatsumaki_py"
# Lowest floor first. Of one floor, only those of the same folder may import each other, and
# without a circle.
FLOORS = [
    ["charset", "error", "escape", "http_message", "iostream", "psgi"],
    [
        "form",
        "request",
        "service",
        "template",
        "http_client",
        "static_file",
        "routes",
        "logger",
        "strict_http",
    ],
    [
        "message_queue.ids",
        "message_queue.own_settings",
        "message_queue.thread",
        "message_queue.trail",
        "message_queue.frozen",
        "message_queue.recent",
    ],
    ["message_queue.event"],
    ["message_queue.peer"],
    ["message_queue.log", "message_queue.merged_log", "message_queue.idempotency"],
    ["message_queue.client", "message_queue.listener", "message_queue.callback"],
    ["message_queue.registry", "message_queue.places"],
    ["message_queue.delivery"],
    ["message_queue.channel"],
    ["message_queue.memory", "message_queue.retention", "message_queue.merged"],
    ["message_queue"],
    ["chunk", "response"],
    ["push.wheel", "push.hangup"],
    [
        "push",
        "push.framing",
        "push.done",
        "push.pile",
        "push.flusher",
        "push.wire",
        "push.rotation",
        "push.stream",
        "push.connection",
    ],
    ["push.served", "push.presence"],
    ["push.streaming", "push.handler", "push.websocket"],
    ["handler"],
    [
        "endpoint",
        "endpoint.attendance",
        "endpoint.body_limit",
        "endpoint.json_events",
        "endpoint.negotiation",
        "endpoint.cross_origin",
        "endpoint.channels",
        "endpoint.subscribe",
        "endpoint.websocket",
        "endpoint.publish",
    ],
    ["application", "server"],
    ["__init__"],
    ["__main__"],
]
# What only a type checker reads does not count, neither do docstrings.
LEAVES = {"client", "event", "idempotency", "log", "merged_log", "framing"}
FORBIDDEN = {"socket", "ssl", "asyncio", "time", "tornado", "select", "threading"}


def modules():
    """All modules as [(name without "tatsumaki_py.", path), ...]."""
    return [
        (
            path.relative_to(PACKAGE)
            .with_suffix("")
            .as_posix()
            .replace("/", ".")
            .removesuffix(".__init__"),
            path,
        )
        for path in sorted(PACKAGE.rglob("*.py"))
    ]


def imports(path):
    """Modules that `path` imports when it runs."""
    tree = ast.parse(path.read_text())
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            skipped.update(map(id, ast.walk(node)))
        elif id(node) in skipped:
            continue
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                submodule = PACKAGE.parent / f"{node.module}.{alias.name}".replace(".", "/")
                is_module = submodule.with_suffix(".py").exists()
                yield f"{node.module}.{alias.name}" if is_module else node.module


def own_imports(path):
    for name in imports(path):
        if name.split(".")[0] == "tatsumaki_py":
            yield name.removeprefix("tatsumaki_py").removeprefix(".") or "__init__"


def floor(name):
    return next(number for number, names in enumerate(FLOORS) if name in names)


def test_every_module_has_its_floor():
    """A new module is given a place in the house."""
    assert sorted(name for name, _ in modules()) == sorted(
        name for names in FLOORS for name in names
    )


@pytest.mark.parametrize(("name", "path"), modules(), ids=lambda value: str(value)[-20:])
def test_arrows_go_down(name, path):
    """A module imports nothing from a floor above its own."""
    for other in own_imports(path):
        assert floor(other) <= floor(name), f"{name} imports {other}"


def test_no_circles():
    """No module is imported, over whatever detour, by what it imports."""
    graph = {name: set(own_imports(path)) - {name} for name, path in modules()}
    done = set()
    while len(done) < len(graph):
        ready = {name for name in graph if name not in done and graph[name] <= done}
        assert ready, f"a circle in {sorted(graph.keys() - done)}"
        done |= ready


def test_queue_and_handler_meet_in_callbacks():
    """The queue never imports a handler, and of the queue a handler imports events only."""
    for name, path in modules():
        others = set(own_imports(path))
        if name.startswith("message_queue"):
            assert not {other for other in others if "handler" in other or "push" in other}, name
        elif name in ("handler", "chunk") or name.startswith("push"):
            queue = {other for other in others if other.startswith("message_queue")}
            assert queue <= {"message_queue.event", "message_queue.peer"}, name


def test_leaves_touch_no_world():
    """Event, logs, client and framing know no socket, no clock and no loop."""
    for name, path in modules():
        if name.split(".")[-1] in LEAVES and "." in name:
            assert not {other.split(".")[0] for other in imports(path)} & FORBIDDEN, name


def test_only_tornado_is_needed():
    """Everything else that is imported comes with Python."""
    for name, path in modules():
        outside = {other.split(".")[0] for other in imports(path)}
        assert outside <= {*sys.stdlib_module_names, "tornado", "tatsumaki_py"}, name
