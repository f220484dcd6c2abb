"""Answers to a publisher that do not come from a PublishHandler."""

import contextlib
import socket
import threading

import pytest

from tatsumaki_py import Error
from tatsumaki_py.publisher import Publisher

GOOD = b'{"ids": ["1-1"]}'
OTHER = "the answer does not come from a PublishHandler: check the URL"
LATE = "the events were not known to be accepted within 0.2 s: "


def answer(body, status=b"200 OK", kind=b"application/json"):
    head = b"HTTP/1.1 %b\r\nContent-Length: %d\r\nContent-Type: %b\r\n\r\n"
    return head % (status, len(body), kind) + body


@pytest.fixture
def odd():
    """`url = odd(answers)` starts a server that sends these answers in turn on each connection."""
    threads, open_sockets = [], []

    def start(answers):
        listening = socket.create_server(("127.0.0.1", 0))
        open_sockets.append(listening)

        def run():
            # Ends when the socket is closed.
            with contextlib.suppress(OSError):
                while True:
                    connection = listening.accept()[0]
                    open_sockets.append(connection)
                    with contextlib.suppress(ConnectionError):
                        for data in answers:
                            connection.recv(65536)
                            connection.sendall(data)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return f"http://127.0.0.1:{listening.getsockname()[1]}/publish/{{channel}}"

    yield start
    for one in open_sockets[::-1]:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize(
    ("data", "code", "text"),
    [
        (answer(b"\xff"), 502, OTHER),
        (answer(b'{"ids": [1]}'), 502, OTHER),
        (answer(b"[" * 100_000), 502, OTHER),
        (answer(b"", b"101 Switching Protocols"), 502, OTHER),
        (answer(b"", b"999 \x1b[1m"), 999, "Unknown"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nid: 1\n\n", 502, OTHER),
        (
            b"HTTP/1.0 500 Oops\r\nContent-Type: text/html\r\n\r\n<html>",
            500,
            "Internal Server Error",
        ),
        (answer(b"{" + 20 * b" ")[:-20], 503, LATE + "no answer in time"),
    ],
)
def test_odd_answers(odd, data, code, text):
    timeout = 0.2 if code == 503 else 5
    with (
        Publisher(odd([data]), publish_timeout=timeout) as publisher,
        pytest.raises(Error.HTTP) as caught,
    ):
        publisher.publish("a", 1)
    assert (caught.value.code, str(caught.value)) == (code, text)


def test_silence_on_a_connection_that_was_used(odd):
    """If a connection that worked before falls silent, the error says that there is no answer."""
    with Publisher(odd([answer(GOOD)]), publish_timeout=0.5) as publisher:
        assert publisher.publish("a", 1) == ["1-1"]
        with pytest.raises(Error.HTTP) as caught:
            publisher.publish("a", 2)
    assert str(caught.value) == LATE.replace("0.2", "0.5") + "no answer in time"


def test_names(odd):
    """A URL's scheme can be in any case; a channel's name must be valid UTF-8."""
    url = odd([answer(GOOD)]).replace("http", "HTTP")
    with Publisher(url) as publisher:
        with pytest.raises(
            ValueError, match=r"over HTTP, a channel's name must be text in UTF-8, not '"
        ):
            publisher.publish("\ud800", 1)
        assert publisher.publish("a\nb", 1) == ["1-1"]
