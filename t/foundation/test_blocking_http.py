"""Blocking requests have a separate time limit for connecting, and name TLS errors."""

import contextlib
import socket
import threading
import time

import pytest

from tatsumaki_py import blocking_http
from tatsumaki_py.blocking_http import FAULTS, Target, explained


@pytest.fixture
def answering():
    """`port = answering(data)` starts a server that sends `data` and closes (None: is silent)."""
    with contextlib.ExitStack() as stack:

        def serve(data):
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def accept():
                client = stack.enter_context(server.accept()[0])
                if data is not None:
                    client.recv(65536)
                    client.sendall(data)
                    client.close()

            threading.Thread(target=accept, daemon=True).start()
            return server.getsockname()[1]

        yield serve


def fault(url, timeout):
    """Returns the message of `explained` for a failed request."""
    with contextlib.closing(Target(url, {}).connection(timeout)) as connection:
        try:
            connection.request("GET", "/")
            connection.getresponse()
        except FAULTS as error:
            return explained(error)
    return None


@pytest.mark.parametrize("data", [None, b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
def test_a_server_without_tls(answering, monkeypatch, data):
    """If the server does not speak TLS, the error comes soon and names the server."""
    monkeypatch.setattr(blocking_http, "CONNECT", 0.1)
    port = answering(data)
    began = time.monotonic()
    text = fault(f"https://127.0.0.1:{port}/", 30)
    assert time.monotonic() - began < 5
    assert text.startswith(f"TLS with 127.0.0.1:{port} failed: ")
    assert text.endswith(" (perhaps the server does not speak https)")
    assert "_ssl.c" not in text


def test_an_answer_may_take_longer(answering, monkeypatch):
    """The limit for connecting does not apply to the answer."""
    monkeypatch.setattr(blocking_http, "CONNECT", 0.05)
    began = time.monotonic()
    assert fault(f"http://127.0.0.1:{answering(None)}/", 0.2) == "no answer in time"
    assert time.monotonic() - began > 0.15
