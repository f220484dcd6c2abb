"""The chat program with handlers that echo their input, and the records of its logs."""

import contextlib
import importlib.util
import json
import logging
import re
from pathlib import Path

import pytest
from support.wire import read_reply

from tatsumaki_py import Error, Handler, MessageQueue, PublishHandler, SubscribeHandler
from tatsumaki_py.server.http_server import StrictServer

PROGRAM = Path(__file__).parents[2] / "examples/chat/app.py"
# Characters that a terminal or a log viewer would interpret: C0 except tab and the log's own line
# end, DEL, C1.
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\n]")


class Echo(Handler):
    """Echoes the fields of the request, and sets the headers that they name."""

    def get(self, *path):
        fields = self.request.parameters
        for name, value in fields.items():
            if name.startswith("X-"):
                self.response.header(name, value)
        if "to" in fields:
            self.response.redirect(fields["to"])
        elif "error" in fields:
            Error.HTTP.throw(int(fields.get("code", "400")), fields["error"])
        elif "log" in fields:
            self.log("%s was here", fields["log"])
        else:
            cookies = {name: morsel.value for name, morsel in self.request.cookies.items()}
            self.write({"fields": dict(fields), "path": path, "cookies": cookies})

    def post(self):
        self.write({"fields": dict(self.request.parameters), "files": list(self.request.uploads)})


@pytest.fixture
def tornado_server_class():
    """The subclass of Tornado's server that `Server` uses."""
    return StrictServer


@pytest.fixture
def app():
    """A separate chat for each test, because routes are added to it."""
    spec = importlib.util.spec_from_file_location("hostile_chat", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.app.add_handlers("/echo", Echo, "/echo/(.*)", Echo)
    module.app.add_handlers(
        "/events",
        SubscribeHandler,
        "/events/([^/]*)",
        SubscribeHandler,
        "/publish/([^/]*)",
        PublishHandler,
    )
    return module.app


@pytest.fixture
def queue():
    """The queue of the room "room"."""
    return MessageQueue.instance("room")


class Records(logging.Handler):
    """Keeps the text of every record of every level."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.lines = []

    def emit(self, record):
        # At DEBUG, Tornado logs tracebacks of errors that its peers cause.
        trace = bool(record.exc_info) and record.levelno > logging.DEBUG
        self.lines.append((record.name, record.getMessage(), trace))


@pytest.fixture
def server(http_server, http_port, raw, log_watch):
    """`reply = await server(bytes)` sends bytes and reads one answer; see `Server`."""
    server = Server(http_port, raw)
    root = logging.getLogger()
    loggers = [root, *map(logging.getLogger, ("tornado.access", "tornado.general", "tatsumaki"))]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    root.addHandler(server.records)
    # Hostile requests may cause warnings, but neither tracebacks nor control characters.
    root.removeHandler(log_watch)
    yield server
    root.addHandler(log_watch)
    root.removeHandler(server.records)
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    for name, line, trace in server.records.lines:
        assert not trace or server.traces, f"{name} logged a traceback: {line}"
        assert "Traceback" not in line
        # Tornado writes a description of the request in a second line.
        text = re.sub(r"\n(HTTPServer)?Request\(", "", line) if trace else line
        assert not CONTROL.search(text), f"{name} logged a control character: {line!r}"
        assert len(line) < 70_000


class Server:
    """The server as an attacker sees it."""

    def __init__(self, port, raw):
        self.port = port
        self.raw = raw
        self.records = Records()
        # Whether the test expects a mistake of a handler.
        self.traces = False

    async def connect(self, data=b""):
        """A client that has sent `data`."""
        client = await self.raw(self.port)
        # The server may have closed the connection already.
        with contextlib.suppress(ConnectionError):
            await client.send(data)
        return client

    async def __call__(self, data, method="GET"):
        """Returns the answer to `data`, or None if the connection was closed without one."""
        client = await self.connect(data)
        try:
            return await read_reply(client, method)
        except (EOFError, ConnectionError):
            return None

    async def get(self, target, *headers):
        """Returns the answer to a GET. `target` and `headers` are bytes or text."""
        lines = [b"GET " + encoded(target) + b" HTTP/1.1", b"Host: x", *map(encoded, headers)]
        return await self(b"\r\n".join([*lines, b"", b""]))

    async def post(self, target, body, *headers):
        """Returns the answer to a POST of a urlencoded form, unless a header says otherwise."""
        headers = [encoded(header) for header in headers]
        if not any(header.lower().startswith(b"content-type") for header in headers):
            headers.append(b"Content-Type: application/x-www-form-urlencoded")
        lines = [b"POST " + encoded(target) + b" HTTP/1.1", b"Host: x", *headers]
        return await self(
            b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", b""]) + body
        )

    async def is_well(self):
        """Checks that the server still answers other clients."""
        reply = await self.get("/echo?a=1")
        assert (reply.status, json.loads(reply.body)["fields"]) == (200, {"a": "1"})


def encoded(text):
    return text if isinstance(text, bytes) else text.encode("latin-1")
