"""How many processes a server has, and when more than one is an error."""

import asyncio
import os
import subprocess
import sys
import threading

import pytest
from support.program import ROOT

from tatsumaki_py import Application, MessageQueue, Server
from tatsumaki_py.message_queue.engine.memory import MemoryEngine
from tatsumaki_py.server.forking import PROCESSES, ProcessesError, check_fork, process_count


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Unsets the variable for the number of processes."""
    monkeypatch.delenv(PROCESSES, raising=False)
    return monkeypatch


def test_the_number(environment):
    """The number comes from the argument, otherwise from the environment, otherwise it is one. 0
    means one for each core.
    """
    cores = len(os.sched_getaffinity(0))
    assert [process_count(None), process_count(3), process_count(0)] == [1, 3, cores]
    environment.setenv(PROCESSES, "2")
    assert [process_count(None), process_count(3)] == [2, 3]
    environment.setenv(PROCESSES, "0")
    assert process_count(None) == cores
    environment.setenv(PROCESSES, "")
    assert process_count(None) == 1


@pytest.mark.parametrize("value", [-1, 1001, 1.5, True, "4"])
def test_no_number(value):
    """A bad argument raises an error when the server is made."""
    with pytest.raises(ValueError, match="processes= takes a number from 0 to 1000, not "):
        Server(processes=value)


@pytest.mark.parametrize("value", ["-1", "1001", "four", "9" * 5000])
def test_no_number_in_the_environment(environment, value):
    """A bad number in the environment ends the program when the server runs."""
    environment.setenv(PROCESSES, value)
    with pytest.raises(SystemExit) as caught:
        Server(port=0).run(Application())
    assert caught.value.code == f"{PROCESSES} must be a number from 0 to 1000, not {value!r}"


def test_a_wrong_option():
    """A bad option raises an error in the parent, not in each worker."""
    with pytest.raises(ValueError, match="none\\.pem"):
        Server(port=0, processes=2, ssl_options={"certfile": "none.pem"}).run(Application())


def test_in_a_running_loop(environment):
    """`Server.serve` refuses to use several processes."""
    environment.setenv(PROCESSES, "2")
    with pytest.raises(RuntimeError, match=r"server\.serve uses one process"):
        asyncio.run(Server(port=0).serve(Application()))


def test_in_a_thread():
    """Several processes are refused in a thread other than the main one, before the address is
    bound.
    """
    errors = []

    def run():
        try:
            Server(port=0, processes=2).run(Application())
        except ProcessesError as error:
            errors.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert errors == [
        "2 processes can be started in the main thread only: use processes=1 in other threads"
    ]


class Shared(MemoryEngine):
    shared = True


class News(MessageQueue):
    pass


def test_queues_that_were_only_made():
    """Queues that were made, and their settings, do not prevent a fork."""
    MessageQueue.configure(Shared())
    queues = MessageQueue.instance("a"), News.instance("b"), MessageQueue.instance("a", "b")
    queues[0].backlog_length = 5
    del queues[0].backlog_length
    for queue in queues:
        assert (queue.subscribers, queue.clients, bool(queue.cursor())) == (0, {}, True)
    assert queues[1].backlog_events == []
    check_fork(2, Application())


def test_a_publish_that_failed(redis_server):
    """A publish that failed does not prevent a fork, because it opened no connection."""
    MessageQueue.configure(redis_server.url)
    with pytest.raises(RuntimeError, match="no event loop runs"):
        MessageQueue.instance("a").publish(1)
    check_fork(2, Application())


async def serves():
    app, server = Application(), Server(port=0)
    app.on_start(server.stop)
    await server.serve(app)


async def counts(queue):
    await queue.count_subscribers()


async def polls(queue):
    await queue.poll_once("me", timeout=0)


async def only_makes():
    MessageQueue.instance("a")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda queue: queue().publish(), "publish() was called on channel 'a'"),
        (lambda queue: queue().append_backlog(1), "append_backlog() was called on channel 'a'"),
        (lambda queue: queue().disconnect(), "disconnect() was called"),
        (lambda queue: asyncio.run(counts(queue())), "count_subscribers() was called before"),
        (lambda queue: asyncio.run(polls(queue())), "poll() was called on channel 'a' before"),
        (lambda queue: asyncio.run(only_makes()), "a channel was used in an event loop before"),
        (lambda queue: asyncio.run(serves()), "another server ran in this process before"),
    ],
)
def test_what_was_done(call, said):
    """The error names the first call that made something that a fork would copy."""
    MessageQueue.configure(Shared())
    call(lambda: MessageQueue.instance("a"))
    with pytest.raises(ProcessesError) as caught:
        check_fork(2, Application())
    assert str(caught.value).startswith(said)
    assert str(caught.value).endswith(
        " before the server starts its 2 processes: do that in a function given to app.on_start"
    )


REFUSED = """
import asyncio, sys, threading
from tatsumaki_py import Application, MessageQueue, Server
from tatsumaki_py.message_queue.engine.memory import MemoryEngine

class Shared(MemoryEngine):
    shared = True

MessageQueue.configure(Shared())
app = Application()
{}
"""
RUN = "Server(port=0, processes=4).run(app)"


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (
            f"MessageQueue.configure('memory:')\n{RUN}",
            "4 processes need an engine that they share, and memory: is not shared: "
            'MessageQueue.configure("redis://..."), or TATSUMAKI_ENGINE=redis://... in the '
            "environment",
        ),
        (
            f"MessageQueue.instance('a').publish(1)\n{RUN}",
            "publish() was called on channel 'a' before the server starts its 4 processes: do that "
            "in a function given to app.on_start",
        ),
        (
            f"app.spawn(asyncio.sleep(1))\n{RUN}",
            "an event loop was made before the server starts its 4 processes, for example by "
            "app.spawn, a timer or an HTTP client: do that in a function given to app.on_start",
        ),
        (
            "async def main(): pass\nasyncio.run(main())\n"
            "threading.Thread(target=threading.Event().wait, name='mine', daemon=True).start()\n"
            f"{RUN}",
            "threads are running before the server starts its 4 processes: mine: start them in a "
            "function given to app.on_start",
        ),
        (
            f"app = Application(debug=True)\n{RUN}",
            "autoreload, which debug=True turns on, needs one process, not 4: use processes=1, or "
            "autoreload=False",
        ),
        (
            f"import os\ndel os.fork\n{RUN}",
            "4 processes need fork(), which this system lacks: use one",
        ),
        (
            "import socket\ntaken = socket.create_server(('127.0.0.1', 0))\n"
            "Server(port=taken.getsockname()[1], processes=4).run(app)",
            "Cannot listen on 127.0.0.1:",
        ),
        (
            f"import os\ndef fork(): raise OSError(11, 'Try again')\nos.fork = fork\n{RUN}",
            "worker 1 cannot be started: Try again",
        ),
        (
            "Server(port=0).run(app)",
            "TATSUMAKI_PROCESSES must be a number from 0 to 1000, not 'many'",
        ),
    ],
)
def test_refused(tmp_path, lines, reason):
    """A program that a fork would break ends with one line before any worker starts."""
    (tmp_path / "app.py").write_text(REFUSED.format(lines))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TATSUMAKI_PROCESSES": "many"}
    environment.pop("TATSUMAKI_HOST", None)
    done = subprocess.run(
        [sys.executable, "app.py"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert done.stderr.startswith(reason)
    assert len(done.stderr) == len(reason) + 1 or reason.endswith(":")
