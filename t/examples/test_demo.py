"""The demo, run as a user runs it."""

import re
import time
import urllib.request


def fetch(program, path, method="GET"):
    request = urllib.request.Request(program.url + path, method=method)
    return urllib.request.urlopen(request, timeout=10)


def test_hello_and_feed(serve_program):
    """The demo answers with a greeting, and with the entries that its API returns."""
    program = serve_program("examples/demo.py")
    with fetch(program, "") as answer:
        assert answer.read() == b"Hello World"
    with fetch(program, "feed/tornado") as answer:
        assert answer.headers["Content-Type"] == "text/html;charset=utf-8"
        assert answer.read().decode() == (
            "<p>Fetched 3 entries from API</p>"
            "<li>tornado 0</li>\n<li>tornado 1</li>\n<li>tornado 2</li>\n"
        )


def test_stream(serve_program):
    """The stream sends the time eleven times: immediately, then every tenth of a second."""
    program = serve_program("examples/demo.py")
    asked = time.monotonic()
    with fetch(program, "stream") as answer:
        assert answer.headers["Content-Type"] == "text/plain"
        lines, moments = [], []
        for line in answer:
            lines.append(line)
            moments.append(time.monotonic())
    times = [int(re.fullmatch(rb"Current UNIX time is (\d+)\n", line)[1]) for line in lines]
    assert len(times) == 11
    assert times == sorted(times)
    assert moments[-1] - moments[0] > 0.9
    assert moments[0] - asked < 0.5 * (moments[-1] - asked)
    with fetch(program, "stream", "HEAD") as answer:
        assert answer.read() == b""


def test_nobody_reads(serve_program):
    """A client that disconnects in the middle of the stream causes no error in the log."""
    program = serve_program("examples/demo.py")
    with fetch(program, "stream") as answer:
        answer.readline()
    with fetch(program, "") as answer:
        assert answer.status == 200
