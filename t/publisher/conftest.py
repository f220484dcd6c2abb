"""A server to which the tests publish."""

import json
import urllib.request

import pytest


@pytest.fixture(scope="module")
def server(serve_programs):
    """A server process for all tests of a file."""
    return serve_programs("t/publisher/program.py")


@pytest.fixture
def events(server):
    """`events(channel)` returns the events that the server has, oldest first."""

    def read(channel):
        url = f"{server.url}events/{channel}?transport=interval-poll"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)

    return read
