"""Two servers in one event loop share the queues, and each may stop alone."""

import asyncio
import signal
import socket
import sys
import time

import pytest
from support.program import STOP, free_port, received
from support.subscriber import CLIENTS
from support.wire import read_reply, soon

from tatsumaki_py import Application, Handler, MessageQueue, Server, SubscribeHandler
from tatsumaki_py.health import Health
from tatsumaki_py.message_queue.engine.memory import MemoryEngine
from tatsumaki_py.testing import Ended

said = []


class Publishes(Handler):
    async def get(self):
        said.append("asked")
        await asyncio.sleep(0.1)
        await MessageQueue.instance("room").publish("the last word")
        self.write("done")


class Engine(MemoryEngine):
    async def close(self):
        said.append("closed")


@pytest.fixture
def servers(io_loop):
    """Two running servers, each with its task."""
    said.clear()
    MessageQueue.configure(Engine())
    found = []
    for _ in range(2):
        app = Application([(r"/events/(\w+)", SubscribeHandler), ("/publishes", Publishes)])
        server = Server("127.0.0.1", 0, grace=1)
        found.append((server, io_loop.asyncio_loop.create_task(server.serve(app))))
    io_loop.run_sync(lambda: soon(lambda: all(one.listening.is_set() for one, _ in found)))
    yield found
    for server, _ in found:
        server.stop()
    io_loop.run_sync(lambda: asyncio.gather(*(serving for _, serving in found)))


@pytest.mark.gen_test
async def test_one_stops(servers, raw):
    """After one server has stopped, the other still serves: it is healthy, its events are accepted,
    and polls continue.
    """
    (one, stopping), (other, _) = servers
    heard = []
    queue = MessageQueue.instance("room")
    queue.poll("worker", lambda *events: heard.extend(event.data for event in events))
    client = await raw(one.port)
    await client.send(b"GET /publishes HTTP/1.1\r\nHost: x\r\n\r\n")
    await soon(lambda: said)
    one.stop()
    await asyncio.sleep(0.02)
    assert Health.current().reason() is None
    assert (await read_reply(client)).body == b"done"
    await stopping
    stream = CLIENTS["sse"](other.port)
    await stream.start()
    await queue.publish("and more")
    assert await stream.take(2) == ["the last word", "and more"]
    assert heard == ["the last word", "and more"]
    assert said == ["asked"]
    stream.close()


@pytest.mark.gen_test
async def test_both_stop(servers, raw):
    """If both stop, an event from a request to one server reaches a stream of the other before that
    stream ends. The engine is closed once, and publishing works again after that.
    """
    (one, _), (other, _) = servers
    stream = CLIENTS["sse"](other.port)
    await stream.start()
    client = await raw(one.port)
    await client.send(b"GET /publishes HTTP/1.1\r\nHost: x\r\n\r\n")
    await soon(lambda: said)
    other.stop()
    one.stop()
    await asyncio.sleep(0.02)
    assert Health.current().reason() == "draining"
    assert (await stream.next()).data == "the last word"
    with pytest.raises(Ended):
        await stream.next()
    assert (await read_reply(client)).body == b"done"
    await asyncio.gather(*(serving for _, serving in servers))
    assert said == ["asked", "closed"]
    assert Health.current().reason() is None
    await MessageQueue.instance("room").publish("later")
    stream.close()


ANOTHER = """
import os
from tatsumaki_py import Application, HealthHandler, MessageQueue, Server
from tatsumaki_py.message_queue.engine.memory import MemoryEngine

class Shared(MemoryEngine):
    shared = True

MessageQueue.configure(Shared())
app = Application([("/", HealthHandler)])
app.on_start(lambda: app.spawn(Server(port=0).serve(Application())))
Server(processes=2, drain_delay=0.3).run(app)
"""


def test_in_each_worker(popen, tmp_path):
    """A server that `serve` runs in each worker ignores TATSUMAKI_PROCESSES and stops with its
    worker.
    """
    (tmp_path / "app.py").write_text(ANOTHER)
    variables = {"TATSUMAKI_PROCESSES": "2", "PORT": str(free_port())}
    process = popen(sys.executable, tmp_path / "app.py", environment=variables)
    said = ""
    while said.count("Listening on ") < 3:
        said += process.stdout.read(1) or pytest.fail(said)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    with socket.create_connection(("127.0.0.1", int(variables["PORT"])), 5) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert received(client, b"draining").startswith(b"HTTP/1.1 503 ")
    assert process.wait(STOP) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()
