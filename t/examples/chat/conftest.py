"""The chat program, served in the test's loop, and helpers for its clients."""

import importlib.util
import json
from pathlib import Path
from urllib.parse import urlencode

import pytest
from support.engines import REAL, engine  # noqa: F401
from support.wire import raw_small, read_reply, sends, small_buffers, soon  # noqa: F401

from tatsumaki_py import MessageQueue
from tatsumaki_py.message_queue import State

PROGRAM = Path(__file__).parents[3] / "examples/chat/app.py"


@pytest.fixture(scope="session")
def program():
    """examples/chat/app.py as a module."""
    spec = importlib.util.spec_from_file_location("chat_example", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def app(program):
    """The application of the program."""
    return program.app


class Chat:
    """The clients of one room."""

    room = "room"

    def __init__(self, raw, port):
        self._raw = raw
        self.port = port

    @property
    def queue(self):
        """The room's queue. Do not keep it: an empty queue is forgotten, and created again."""
        return MessageQueue.instance(self.room)

    async def request(self, line, *headers, body=b"", raw=None):
        """Sends a request; `line` is, for example, "GET poll?client_id=a"."""
        method, path = line.split(" ", 1)
        client = await (raw or self._raw)(self.port)
        lines = [f"{method} /chat/{self.room}/{path} HTTP/1.1", "Host: localhost", *headers]
        if body:
            lines += ["Content-Type: application/x-www-form-urlencoded"]
            lines += [f"Content-Length: {len(body)}"]
        await client.send("\r\n".join([*lines, "", ""]).encode() + body)
        return client

    async def post(self, *headers, **fields):
        """Posts a message and returns the answer."""
        client = await self.request("POST post", *headers, body=urlencode(fields).encode())
        return await read_reply(client)

    async def poll(self, client_id, *headers, raw=None, **fields):
        """Begins a long poll."""
        query = urlencode({"client_id": client_id, **fields})
        return await self.request(f"GET poll?{query}", *headers, raw=raw)

    async def waiting(self, client_id, *headers, **options):
        """Begins a long poll, and waits until its client is listening."""
        client = await self.poll(client_id, *headers, **options)
        await self.listening(client_id)
        return client

    async def listening(self, *client_ids):
        """Waits until these clients are listening."""
        await soon(lambda: self.states(*client_ids) == {State.LISTENING})

    async def absent(self, *client_ids):
        """Waits until the queue knows that these clients have left."""
        await soon(lambda: self.states(*client_ids) == {State.ABSENT})

    def states(self, *client_ids):
        """The set of the states of these clients; None for an unknown client."""
        clients = self.queue.clients
        return {clients[id].state if id in clients else None for id in client_ids}

    async def events(self, client):
        """The events of the answer to a long poll."""
        reply = await read_reply(client)
        assert reply.status == 200, reply
        return json.loads(reply.body)

    async def numbers(self, client):
        """The numbers of the events `{"n": ...}` in the answer to a long poll."""
        return [event["n"] for event in await self.events(client)]

    async def publish(self, *numbers):
        """Publishes an event `{"n": ...}` for each number, one by one."""
        for number in numbers:
            await self.queue.publish({"n": number})


@pytest.fixture
def chat(engine, http_server, http_port, raw):  # noqa: F811
    """The `Chat` on the served program."""
    return Chat(raw, http_port)


def pytest_generate_tests(metafunc):
    """Runs each test with the engines on which it must pass."""
    if "chat" in metafunc.fixturenames and "http_server" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("engines")
        names = ("memory", *REAL) if mark is None else mark.args
        if not metafunc.module.__name__.endswith(("poll", "mxhr", "resume")):
            names = ("memory",)
        metafunc.parametrize("engine", names, indirect=True)
