"""The layers of the package: a module imports only from its own layer and lower ones."""

import ast
import re
import sys

from support.program import ROOT

PACKAGE = ROOT / "tatsumaki_py"
# Lowest layer first. Modules of one layer may import each other, but not in a cycle.
LAYERS = [
    [
        "at_once",
        "answer_head",
        "charset",
        "content_type",
        "control_characters",
        "counters",
        "error",
        "group",
        "health",
        "http_token",
        "iostream",
        "json_codec",
        "lean_handler",
        "life",
        "origin",
        "private_query",
        "program",
        "psgi",
    ],
    [
        "done",
        "form",
        "request",
        "template",
        "http_client_request",
        "blocking_http",
        "http_client_response",
        "http_client",
        "static_file",
        "routes",
        "recent_routes",
        "logger",
        "strict_http",
        "ticket",
    ],
    ["request_delegate"],
    [
        "message_queue.ids",
        "message_queue.lead",
        "message_queue.own_settings",
        "message_queue.published",
        "message_queue.thread",
        "message_queue.trail",
        "message_queue.frozen",
        "message_queue.recent",
    ],
    ["message_queue.event", "message_queue.event_json"],
    ["message_queue.peer"],
    [
        "message_queue.alarm",
        "message_queue.names",
        "message_queue.settings",
        "message_queue.timeouts",
    ],
    [
        "message_queue.kept",
        "message_queue.log",
        "message_queue.merged_log",
        "message_queue.idempotency",
    ],
    ["message_queue.engine.presence"],
    ["message_queue.engine", "message_queue.engine.option"],
    ["message_queue.engine.redis"],
    ["message_queue.engine.redis.options", "message_queue.engine.redis.slots"],
    ["message_queue.engine.redis.absent", "message_queue.engine.redis.replies"],
    ["message_queue.engine.redis.dial"],
    [
        "message_queue.engine.redis.node",
        "message_queue.engine.redis.sentinel",
        "message_queue.engine.redis.subscriber",
    ],
    ["message_queue.engine.redis.cluster"],
    ["message_queue.engine.redis.cluster_subscriber"],
    ["message_queue.engine.redis.connect"],
    [
        "message_queue.engine.redis.keys",
        "message_queue.engine.redis.wire",
        "message_queue.engine.redis.clock",
        "message_queue.engine.redis.answer",
        "message_queue.engine.redis.outage",
        "message_queue.engine.redis.sparing",
    ],
    ["message_queue.engine.redis.scripts", "message_queue.engine.redis.calls"],
    ["message_queue.engine.redis.pending"],
    ["message_queue.engine.redis.questions", "message_queue.engine.redis.publishing"],
    ["message_queue.engine.redis.channel", "message_queue.engine.redis.history"],
    [
        "message_queue.engine.redis.feeding",
        "message_queue.engine.redis.listening",
        "message_queue.engine.redis.positions",
    ],
    ["message_queue.engine.redis.presence"],
    ["message_queue.engine.redis.presence.keys", "message_queue.engine.redis.presence.scripts"],
    ["message_queue.engine.redis.presence.control", "message_queue.engine.redis.presence.lives"],
    ["message_queue.engine.redis.presence.places"],
    ["message_queue.engine.redis.presence.clients"],
    ["message_queue.engine.redis.presence.shared"],
    ["message_queue.engine.redis.engine"],
    ["message_queue.engine.sqlite"],
    ["message_queue.engine.sqlite.options", "message_queue.engine.sqlite.rows"],
    [
        "message_queue.engine.sqlite.file",
        "message_queue.engine.sqlite.channels",
        "message_queue.engine.sqlite.reading",
    ],
    [
        "message_queue.engine.sqlite.keys",
        "message_queue.engine.sqlite.lasts",
        "message_queue.engine.sqlite.trouble",
    ],
    ["message_queue.engine.sqlite.trimming"],
    ["message_queue.engine.sqlite.store"],
    ["message_queue.engine.sqlite.writer"],
    ["message_queue.engine.sqlite.session"],
    ["message_queue.engine.sqlite.feeds"],
    ["message_queue.engine.sqlite.engine"],
    ["message_queue.engine.memory"],
    ["message_queue.engine.choose"],
    ["message_queue.client"],
    ["message_queue.batch"],
    ["message_queue.mailbox", "message_queue.roster", "message_queue.source"],
    ["message_queue.callback", "message_queue.loading"],
    ["message_queue.processes"],
    ["message_queue.departures", "message_queue.registry", "message_queue.retention"],
    ["message_queue.ending"],
    ["message_queue.front"],
    ["message_queue.delivery"],
    ["message_queue.telling"],
    ["message_queue.takeover"],
    ["message_queue.arrivals"],
    ["message_queue.audience", "message_queue.channel", "message_queue.merged"],
    ["message_queue.queue"],
    ["message_queue"],
    ["body_encoding", "response"],
    ["push.per_loop", "push.lag"],
    ["push.wheel", "push.hangup"],
    [
        "push",
        "push.framing",
        "push.framing.json_text",
        "push.framing.json_lines",
        "push.framing.multipart",
        "push.framing.server_sent_events",
        "push.framing.websocket",
        "push.transports",
        "push.pile",
        "push.flusher",
        "push.owner",
        "push.counted",
        "push.lifetime",
        "push.stream",
        "push.place",
        "push.member",
        "push.cohort",
        "push.reading",
        "push.sockets",
        "push.open_streams",
        "push.client_connection",
        "push.tornado_connection",
    ],
    ["push.lazy_ui", "push.peer_base", "push.peer_handler", "push.stray"],
    [
        "push.frame_reader",
        "push.sent_headers",
        "push.stream_head",
        "push.websocket_socket",
        "push.websocket_stream",
    ],
    ["push.stream_handler", "push.answer_handler", "push.websocket"],
    ["handler", "snapshot"],
    [
        "endpoint",
        "endpoint.attendance",
        "endpoint.body_limit",
        "endpoint.json_events",
        "endpoint.negotiation",
        "endpoint.cross_origin",
        "endpoint.channels",
        "endpoint.departed",
        "endpoint.members",
        "endpoint.per_address",
        "endpoint.groups",
        "endpoint.recheck",
        "endpoint.shared_answers",
        "endpoint.subscribe",
        "endpoint.ticketed",
        "endpoint.websocket",
        "endpoint.publish",
        "endpoint.health",
        "endpoint.metrics",
    ],
    ["not_found"],
    ["application"],
    [
        "http1",
        "http1.head",
        "http1.chunks",
        "http1.client_address",
        "http1.idle",
        "http1.outgoing",
        "http1.detached",
        "http1.handshake",
    ],
    ["http1.body", "http1.line", "http1.streaming"],
    ["http1.stream_view"],
    ["http1.exchange"],
    ["http1.requests"],
    ["http1.connection"],
    [
        "service",
        "server.http_server",
        "server.bind",
        "server.systemd",
        "server.signals",
        "server.side_by_side",
        "server.turns",
        "server.forking",
        "server.collector",
        "server.child",
    ],
    ["server.fast_server", "server.in_flight"],
    ["server.choose"],
    ["server.addresses", "server.announcing"],
    ["server.drain", "server.worker"],
    ["server.processes"],
    ["server"],
    ["served_app"],
    ["__init__"],
    [
        "publisher",
        "publisher.attempts",
        "publisher.over_http",
        "publisher.over_redis",
        "publisher.thread_log",
    ],
    ["commands", "commands.parser", "commands.publish", "commands.serve", "commands.subscribe"],
    ["command_line"],
    ["__main__"],
    [
        "testing.clock",
        "testing.connection",
        "testing.proxy",
        "testing.queues",
        "testing.redis_server",
        "testing.waiting",
    ],
    ["testing.reply"],
    ["testing.message"],
    ["testing.attempt", "testing.readers.reader"],
    [
        "testing.delivery",
        "testing.readers.json_lines",
        "testing.readers.multipart",
        "testing.readers.polls",
        "testing.readers.server_sent_events",
        "testing.readers.websocket",
        "testing.target",
    ],
    ["testing.readers"],
    ["testing.session"],
    ["testing.following"],
    ["testing.subscriber"],
    ["testing"],
    ["testing.pytest_plugin"],
]
# Imports for type checkers and docstrings do not count here.
LEAVES = {"client", "event", "event_json", "idempotency", "log", "merged_log", "framing"}
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


def imports(path, *, types=False):
    """Modules that `path` imports when it runs; with `types`, those under TYPE_CHECKING instead."""
    tree = ast.parse(path.read_text())
    typed = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if (id(node) in typed) != types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                submodule = PACKAGE.parent / f"{node.module}.{alias.name}".replace(".", "/")
                is_module = submodule.with_suffix(".py").exists()
                yield f"{node.module}.{alias.name}" if is_module else node.module


def own_imports(path, *, types=False):
    for name in imports(path, types=types):
        if name.split(".")[0] == "tatsumaki_py":
            yield name.removeprefix("tatsumaki_py").removeprefix(".") or "__init__"


def graph():
    """The modules of the package that each module imports, also under TYPE_CHECKING."""
    return {
        name: {other for types in (False, True) for other in own_imports(path, types=types)}
        - {name}
        for name, path in modules()
    }


def reached(start, arrows):
    """All modules that `start` imports, directly or indirectly."""
    found, left = set(), [start]
    while left:
        new = arrows[left.pop()] - found
        found |= new
        left += new
    return found


def wrong(arrows):
    """The imports that go up, or are part of a cycle."""
    return {
        (name, other)
        for name, others in arrows.items()
        for other in others
        if layer(other) > layer(name) or name in reached(other, arrows)
    }


def layer(name):
    return next(number for number, names in enumerate(LAYERS) if name in names)


def test_every_module_has_its_layer():
    """Every module is in the list of layers."""
    assert sorted(name for name, _ in modules()) == sorted(
        name for names in LAYERS for name in names
    )


def test_arrows_go_down():
    """A module imports nothing from a higher layer, and no module that imports it, not even for a
    type checker.
    """
    assert not wrong(graph())


def test_the_documentation_has_the_same_layers():
    """Each bullet of the page on the architecture is one layer."""
    page = (ROOT / "docs/architecture.md").read_text()
    bullets = page.split("## Imports")[1].split("\n##")[0].split("\n- ")[1:]
    described = [sorted(re.findall(r"\*\*`([\w.]+)`\*\*", bullet)) for bullet in bullets]
    assert described == [sorted(names) for names in LAYERS]
    for path in re.findall(r"`([\w/]+\.py)`", page):
        assert (PACKAGE / path).exists() or (ROOT / path).exists(), path


def test_queue_and_handler_meet_in_callbacks():
    """The queue imports no handler. A handler imports only its events, places and peers."""
    for name, others in graph().items():
        if name.startswith("message_queue"):
            assert not {other for other in others if "handler" in other or "push" in other}, name
        elif name in ("handler", "body_encoding") or name.startswith("push"):
            queue = {other for other in others if other.startswith("message_queue")}
            below = ("event", "lead", "peer")
            assert queue <= {f"message_queue.{module}" for module in below}, name


def test_programs_do_not_import_the_tools_for_tests():
    """No other module of the package imports `tatsumaki_py.testing`."""
    for name, others in graph().items():
        if not name.startswith("testing"):
            assert not {other for other in others if other.startswith("testing")}, name


REDIS = "message_queue.engine.redis."
# Modules in this package that programs without redis-py may import.
PURE = {f"{REDIS}{name}" for name in ("calls", "keys", "options", "scripts", "wire")}


def extras(name):
    """The packages of extras that a module may import, because it is loaded only if needed."""
    if name == "endpoint.metrics":
        return {"prometheus_client"}
    if name == "testing.pytest_plugin":
        return {"pytest"}
    if name in ("http1.head", "http1.chunks"):
        return {"httptools"}
    return {"redis", "hiredis"} if name.startswith(REDIS) and name not in PURE else set()


def test_leaves_touch_no_world():
    """Events, logs, clients and framings use no socket, no clock and no loop."""
    for name, path in modules():
        leaf = name.split(".")[-1] in LEAVES and "." in name
        if leaf or name.startswith("push.framing."):
            assert not {other.split(".")[0] for other in imports(path)} & FORBIDDEN, name


def test_only_tornado_is_needed():
    """Every other import is part of Python, or belongs to an extra and is loaded on demand."""
    for name, path in modules():
        outside = {other.split(".")[0] for other in imports(path)}
        known = {*sys.stdlib_module_names, "tornado", "tatsumaki_py"} | extras(name)
        assert outside <= known, name
