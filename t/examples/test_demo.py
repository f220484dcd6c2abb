"""The demo, run as a user runs it."""

import re
import urllib.request


def fetch(program, path, method="GET"):
    request = urllib.request.Request(program.url + path, method=method)
    return urllib.request.urlopen(request, timeout=10)


def test_demo(serve_program):
    """Hello at once, the feed later, the times as they pass."""
    program = serve_program("examples/demo.py")
    with fetch(program, "") as answer:
        assert "Hello World" in answer.read().decode()
    with fetch(program, "feed/tornado") as answer:
        assert answer.read() == b"Fetched 3 entries from the API"
    with fetch(program, "stream") as answer:
        assert answer.headers["Content-Type"] == "text/plain"
        first = answer.readline()
        # It comes line by line: there is no more yet.
        assert answer.isclosed() is False
        lines = [first, *answer.readlines()]
    times = [float(re.fullmatch(rb"Current UNIX time is (\d+\.\d+)\n", line)[1]) for line in lines]
    assert len(times) == 10
    assert times == sorted(set(times))
    with fetch(program, "stream", "HEAD") as answer:
        assert answer.read() == b""


def test_nobody_reads(serve_program):
    """Who leaves in the middle of the stream leaves nothing behind that complains."""
    program = serve_program("examples/demo.py")
    with fetch(program, "stream") as answer:
        answer.readline()
    with fetch(program, "") as answer:
        assert answer.status == 200
