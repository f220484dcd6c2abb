"""The command ``tatsumaki subscribe``."""

import json
import os
import signal
import socket
import threading
import time

import pytest
from support.nginx import SITE

from tatsumaki_py.commands import subscribe as subscribe_command
from tatsumaki_py.publisher import Publisher


@pytest.fixture
def publisher(server):
    with Publisher(f"{server.url}publish/{{channel}}") as publisher:
        yield publisher


def lines(process, count):
    return [json.loads(process.stdout.readline()) for _ in range(count)]


def test_events(subscribe, server, publisher):
    """Each event is printed as a line with its id as it arrives; Ctrl-C ends the command."""
    first = publisher.publish("a", {"text": "Grüße\n"})
    process = subscribe(f"{server.url}events/a")
    assert lines(process, 1) == [{"id": first[0], "data": {"text": "Grüße\n"}}]
    ids = publisher.publish("a", 2, [3])
    assert lines(process, 2) == [{"id": ids[0], "data": 2}, {"id": ids[1], "data": [3]}]
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == 130
    assert process.stdout.read() == ""


def test_count_and_cursor(command, subscribe, server, publisher):
    """The command starts at `--last-event-id` and ends after `--count` lines; a gap is a line."""
    ids = publisher.publish("count", *range(10))
    url = f"{server.url}events/count"
    process = subscribe(url, "--last-event-id", ids[4], "--count", "3")
    assert [line["data"] for line in lines(process, 3)] == [5, 6, 7]
    assert process.wait(5) == 0
    out = command("subscribe", url, "--last-event-id", "1-1", "--count", "2")[1]
    found = [json.loads(line) for line in out.splitlines()]
    assert (found[0]["type"], found[0]["after"]) == ("gap", "1-1")
    assert found[1]["data"] == 0


def test_the_reader_is_gone(subscribe, server, publisher, tmp_path):
    """If the reader of the lines has gone, the next line ends the command without a message."""
    publisher.publish("reader", 1)
    process = subscribe(f"{server.url}events/reader")
    assert lines(process, 1)[0]["data"] == 1
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), process.stdout.fileno())
    publisher.publish("reader", 2)
    assert process.wait(5) == 141
    assert (tmp_path / "log").read_text() == ""


def test_a_full_disk(subscribe, server, publisher, tmp_path):
    """If the disk is full, the command fails, as lines would be lost."""
    publisher.publish("full", 1)
    with open("/dev/full", "w") as full:
        process = subscribe(f"{server.url}events/full", stdout=full)
        assert process.wait(5) == 1
    log = (tmp_path / "log").read_text()
    assert log == "python -m tatsumaki_py subscribe: stdout: No space left on device\n"


@pytest.mark.parametrize(
    ("path", "flags", "line"),
    [
        ("events/a?transport=nothing", [], "400 transport must be one of sse, websocket, ndjson, "),
        ("nothing", [], "404 Not Found"),
        ("page", [], "404 Not Found"),
        ("events/a?transport=long-poll&timeout=0", [], "the answer does not come from a "
         "SubscribeHandler: check the URL"),
        ("events/a", ["--count", "0"], "argument --count: '0' is not a positive number"),
        ("events/a", ["--header", "a b: c"], "argument --header: not a header name: 'a b'"),
    ],
)  # fmt: skip
def test_refusals(mistake, server, path, flags, line):
    """If the server refuses the request, or a flag is wrong, the error is one line."""
    status, text = mistake(subscribe_command, server.url + path, *flags)
    assert (status, text[: len(line)]) == (2 if flags else 1, line)


@pytest.mark.parametrize("url", ["", "localhost:5000/events/a", "http://h:x/"])
def test_a_wrong_url(mistake, url):
    status, text = mistake(subscribe_command, url)
    assert (status, "URL" in text or "argument url: it is empty" in text) == (2, True)


def test_a_server_that_is_not_there_yet(subscribe, http_server, tmp_path):
    """The command waits until the server is there, and says so in one line."""
    http_server.stop()
    process = subscribe(f"{http_server.url}events/a", "--count", "1")
    deadline = time.monotonic() + 10
    while not (tmp_path / "log").read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    http_server.start()
    Publisher(f"{http_server.url}publish/{{channel}}").publish("a", 1)
    assert lines(process, 1)[0]["data"] == 1
    assert process.wait(5) == 0
    log = (tmp_path / "log").read_text()
    assert log == "python -m tatsumaki_py subscribe: Connection refused; reconnecting\n"


def test_a_server_without_tls(subscribe, tmp_path):
    """If TLS fails, one line says so and names the server."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        process = subscribe(f"https://127.0.0.1:{port}/events/a")
        for _ in range(2):
            with server.accept()[0] as client:
                client.recv(65536)
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        process.kill()
        process.wait()
    assert (tmp_path / "log").read_text() == (
        f"python -m tatsumaki_py subscribe: TLS with 127.0.0.1:{port} failed: wrong version number "
        "(perhaps the server does not speak https); reconnecting\n"
    )


def test_restarts_behind_nginx(subscribe, monkeypatch, redis_server, request):
    """No line is lost or repeated if the server is restarted, and later killed and started."""
    monkeypatch.setenv("TATSUMAKI_ENGINE", redis_server.url)
    program = request.getfixturevalue("http_server")
    run_nginx = request.getfixturevalue("run_nginx")
    port = run_nginx(SITE.replace("5000", str(program.port)))
    process = subscribe(f"http://127.0.0.1:{port}/events/chat", "--count", "200")
    found = []
    reading = threading.Thread(target=lambda: found.extend(lines(process, 200)))
    reading.start()
    ids = []

    def publish():
        with Publisher(redis_server.url) as publisher:
            for number in range(200):
                ids.extend(publisher.publish("chat", number))
                time.sleep(0.01)

    publishing = threading.Thread(target=publish)
    publishing.start()
    time.sleep(0.2)
    program.restart()
    time.sleep(0.2)
    program.kill()
    time.sleep(0.2)
    program.start()
    publishing.join()
    reading.join(20)
    assert [line["id"] for line in found] == ids
    assert [line["data"] for line in found] == [*range(200)]
    assert process.wait(5) == 0
