"""A server in a separate thread, as in the tests of a program."""

import socket
import threading
import time
import urllib.request

import pytest

from tatsumaki_py import Application, Handler, MessageQueue, Server


class Wait(Handler):
    """Answers a long poll."""

    async def get(self):
        self.write(await MessageQueue.instance("room").poll_once("me", timeout=5))


class Hello(Handler):
    def get(self):
        self.write("hello")


class Publish(Handler):
    async def get(self):
        self.write((await MessageQueue.instance("room").publish(1))[0])


@pytest.fixture
def run():
    """Runs a server in a thread, and returns the thread and a list of its exceptions."""
    threads = []

    def start(server, app):
        raised = []

        def body():
            try:
                server.run(app)
            except Exception as error:
                raised.append(error)

        threads.append(threading.Thread(target=body))
        threads[-1].start()
        return threads[-1], raised

    yield start
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()


def fetch(server, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5) as answer:
        return answer.read()


@pytest.mark.parametrize("times", [1, 2])
def test_stop(run, times, capsys):
    """`listening` is set while the server serves. `stop`, called in another thread, ends it and
    answers the waiting long poll. The same server can serve again.
    """
    server = Server("127.0.0.1", 0)
    for _ in range(times):
        server.stop()
        thread, raised = run(server, Application([("/", Hello), ("/wait", Wait)]))
        assert server.listening.wait(5)
        assert fetch(server, "/") == b"hello"
        port = server.port
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            client.sendall(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
            fetch(server, "/")
            server.stop()
            thread.join(5)
            assert client.makefile("rb").read().endswith(b"\r\n\r\n[]")
        assert not server.listening.is_set()
        assert raised == []
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
    assert capsys.readouterr().out.count("Listening on ") == times


def test_another_thread(run, capsys):
    """The queues belong to the thread of the first server. A server in another thread can publish,
    and its stop does not end the polls of the first.
    """
    server, other = Server("127.0.0.1", 0), Server("127.0.0.1", 0)
    run(server, Application([("/wait", Wait)]))
    assert server.listening.wait(5)
    other_thread, _ = run(other, Application([("/publish", Publish)]))
    assert other.listening.wait(5)
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
        client.sendall(b"GET /wait HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        while not MessageQueue.instance("room").clients:
            time.sleep(0.001)
        other.stop()
        other_thread.join(5)
        run(other, Application([("/publish", Publish)]))
        assert other.listening.wait(5)
        assert len(fetch(other, "/publish")) > 1
        assert client.makefile("rb").read().endswith(b"\r\n\r\n[1]")
    server.stop()
    other.stop()


def test_an_address_in_use(run):
    """An error that would end the process is raised as an exception in the thread."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = Server("127.0.0.1", taken.getsockname()[1])
        thread, raised = run(server, Application())
        thread.join(5)
    assert not server.listening.is_set()
    assert str(raised[0]).startswith(f"Cannot listen on 127.0.0.1:{server.port}: ")


def test_a_service_that_does_not_start(run):
    """A service that does not start raises an exception in the thread, and no socket stays open."""
    app = Application()
    app.on_start(lambda: 1 / 0)
    server = Server("127.0.0.1", 0)
    thread, raised = run(server, app)
    thread.join(5)
    assert "division by zero" in str(raised[0])
    assert not server.listening.is_set()


def test_an_address_that_is_taken_meanwhile(run):
    """If another program takes the port while services start, the services are stopped again."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        app, stopped = Application(), []
        app.on_start(other.listen)
        app.on_stop(lambda: stopped.append(True))
        thread, raised = run(Server("127.0.0.1", other.getsockname()[1]), app)
        thread.join(5)
    assert "Address already in use" in str(raised[0])
    assert stopped == [True]
