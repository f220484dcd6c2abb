"""Servers to publish at."""

import json
import urllib.request

import pytest


@pytest.fixture(scope="module")
def server(serve_programs):
    """A process that is the server of a file's tests."""
    return serve_programs("t/publisher/program.py")


@pytest.fixture
def events(server):
    """`events(channel)` are those that the server has, oldest first."""

    def read(channel):
        url = f"{server.url}events/{channel}?transport=interval-poll"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)

    return read
