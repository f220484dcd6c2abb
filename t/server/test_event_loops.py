"""A program with background work runs on each event loop that a user may choose, also in Python's
development mode and asyncio's debug mode, without a warning.
"""

import asyncio
import contextlib
import json
import re
import sys

import pytest
from support.program import Program, free_port
from support.subscriber import CLIENTS
from support.wire import read_reply

from tatsumaki_py.testing import Connection, Ended

PROGRAM = """
import asyncio
import os
import threading

from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop, PeriodicCallback
from tornado.netutil import bind_sockets

from tatsumaki_py import (
    Application, Handler, HTTPClient, MessageQueue, PublishHandler, Server, Service,
    SubscribeHandler,
)

HOW = os.environ["HOW"]
if HOW.startswith("uvloop"):
    import uvloop
if HOW == "uvloop policy":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())

mq = MessageQueue.instance("room")
said = set()
say = said.add


class Worker(Service):
    async def start(self):
        say("the service starts")
        self.upstream = HTTPServer(Application([("/", Upstream)]))
        (sock,) = bind_sockets(0, "127.0.0.1")
        self.upstream.add_socket(sock)
        answer = await HTTPClient().get(f"http://127.0.0.1:{sock.getsockname()[1]}/")
        say(f"fetched {answer.content.decode()}")
        mq.poll("worker", lambda *events: [say(f"polled {event}") for event in events])
        IOLoop.current().call_later(0.001, say, "a timer of the service")
        self.task = asyncio.create_task(self.work())
        self.thread = threading.Thread(target=self.publish)
        self.thread.start()

    async def work(self):
        async for events in mq.poll("task"):
            for event in events:
                say(f"a task polled {event}")

    def publish(self):
        assert len(mq.publish("from a thread").result(5)) == 1
        say("published in a thread")

    async def stop(self):
        await asyncio.to_thread(self.thread.join)
        self.task.cancel()
        self.upstream.stop()
        await self.upstream.close_all_connections()
        print("stopped", flush=True)


class Upstream(Handler):
    def get(self):
        self.write("hello")


class Said(Handler):
    def get(self):
        loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
        self.write({"said": sorted(said), "loop": loop})


async def forever():
    say("spawned by the application")
    await asyncio.Event().wait()


rules = [("/said", Said), ("/events/(room)", SubscribeHandler), ("/publish/(room)", PublishHandler)]
app = Application(rules, debug=HOW == "debug")
app.add_service(Worker())

if HOW == "uvloop.run":
    app.on_start(lambda: app.spawn(forever()))
    uvloop.run(Server().serve(app))
else:
    app.spawn(forever())
    timer = PeriodicCallback(lambda: say("a timer"), 1)
    timer.start()
    IOLoop.current().call_later(0.001, say, "a call later")
    IOLoop.current().add_callback(say, "a callback")
    IOLoop.current().spawn_callback(say, "a spawned callback")
    Server().run(app)
"""
SERVICE = {
    "the service starts",
    "fetched hello",
    "polled from a thread",
    "polled from a client",
    "a task polled from a thread",
    "a task polled from a client",
    "a timer of the service",
    "published in a thread",
    "spawned by the application",
}
BEFORE_RUN = {"a timer", "a call later", "a callback", "a spawned callback"}
# On a busy machine, any callback may take long; that is not a fault of the program.
EXPECTED = re.compile(r" INFO tornado\.access: [1234]|Executing <.* took 0\.[1-4]")


@pytest.fixture
def start(tmp_path, monkeypatch):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    program = Program(path, free_port(), tmp_path)

    def start(how, develop):
        monkeypatch.setenv("HOW", how)
        if develop:
            monkeypatch.setenv("PYTHONDEVMODE", "1")
            monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
        program.start()
        return program

    yield start
    program.kill()


async def ask(port, request):
    client = await Connection.connect(port)
    await client.send(request.encode())
    reply = await read_reply(client)
    client.close()
    return reply


@pytest.mark.parametrize(
    ("how", "develop", "loop"),
    [
        ("run", False, "asyncio"),
        ("run", True, "asyncio"),
        ("debug", True, "asyncio"),
        pytest.param(
            *("uvloop policy", True, "uvloop"),
            marks=pytest.mark.skipif(
                sys.version_info >= (3, 14), reason="asyncio warns about policies in Python 3.14+"
            ),
        ),
        ("uvloop.run", True, "uvloop"),
    ],
)
@pytest.mark.gen_test
async def test_quiet(start, how, develop, loop):
    """Callbacks that were scheduled before the server runs, the service and the clients all work
    and end, and the log contains nothing but requests.
    """
    program = start(how, develop)
    clients = [kind(program.port) for kind in CLIENTS.values()]
    with contextlib.ExitStack() as stack:
        for client in clients:
            stack.callback(client.close)
            await client.start()
            assert await client.take(1) == ["from a thread"]
        gone = CLIENTS["sse"](program.port)
        await gone.open()
        gone.close()
        body = '"from a client"'
        head = f"Host: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        reply = await ask(program.port, f"POST /publish/room HTTP/1.1\r\n{head}{body}")
        assert reply.status == 200
        for client in clients:
            assert await client.take(1) == ["from a client"]
        reply = await ask(program.port, "GET /said HTTP/1.1\r\nHost: x\r\n\r\n")
        expected = SERVICE if how == "uvloop.run" else SERVICE | BEFORE_RUN
        assert json.loads(reply.body) == {"said": sorted(expected), "loop": loop}
        stopping = asyncio.get_running_loop().run_in_executor(None, program.stop)
        for client in clients:
            if client.streams:
                async with asyncio.timeout(10):
                    with pytest.raises(Ended):
                        await client.next()
                client.close()
        assert await stopping == 0
    assert program.stdout.endswith("stopped\n")
    assert [line for line in program.stderr.splitlines() if not EXPECTED.search(line)] == []
