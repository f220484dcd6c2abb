"""The command ``tatsumaki publish``."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from support.program import ROOT

from tatsumaki_py.commands import publish

from .conftest import COMMAND


def events(server, channel):
    url = f"{server.url}events/{channel}?transport=interval-poll"
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)


def test_an_event(command, server, capfd):
    """An event is published with exactly the given JSON, and the command prints the event's id."""
    url = f"{server.url}publish/{{channel}}"
    status, out, err = command("publish", "a b", '{"n": 1.50}', "--url", url)
    assert (status, err, out.count("\n")) == (0, "", 1)
    for _ in range(2):
        publish.main(["a b", '"again"', "--url", url, "--idempotency-key", "key"], "publish")
    first, second = capfd.readouterr().out.split()
    assert first == second
    with urllib.request.urlopen(f"{server.url}events/a%20b?timeout=0", timeout=5) as answer:
        assert answer.read() == b'[{"n": 1.50},"again"]'


def test_the_end(command, server, capfd):
    """`--end` ends a channel; `subscribe` prints its events and the end, and exits with 0."""
    url = f"{server.url}ending/{{channel}}"
    publish.main(["over", "1", "--url", url], "publish")
    publish.main(["over", "--end", "--url", url], "publish")
    first, end = capfd.readouterr().out.split()
    status, out, err = command("subscribe", f"{server.url}events/over")
    assert (status, err) == (0, "")
    assert [json.loads(line) for line in out.splitlines()] == [
        {"id": first, "data": 1},
        {"id": end, "data": {"type": "end"}},
    ]


def test_a_key(server, capfd):
    """An event can be published with `--key`; an empty key is refused."""
    url = f"{server.url}publish/{{channel}}"
    for text in ("1", "2"):
        publish.main(["keyed", text, "--url", url, "--key", "a"], "publish")
    assert len(capfd.readouterr().out.split()) == 2
    with pytest.raises(SystemExit):
        publish.main(["keyed", "3", "--url", url, "--key", ""], "publish")
    assert "400 a key must have 1 to 255 characters" in capfd.readouterr().err


def test_lines(command, server):
    """Each line of stdin is an event, even a last one without an end; empty lines are ignored."""
    url = f"{server.url}publish/lines"
    lines = [json.dumps({"n": n, "text": "x" * 1500}) for n in range(400)]
    status, out, err = command("publish", "lines", "-", "--url", url, input="\n\r\n".join(lines))
    assert (status, err) == (0, "")
    found = events(server, "lines")
    assert [event["n"] for event in found] == [*range(400)]
    assert len(set(out.split())) == 400


def test_lines_that_come_slowly(server):
    """Each line is published as it arrives, and Ctrl-C ends the command without a message."""
    process = subprocess.Popen(
        [*COMMAND, "publish", "slow", "-", "--url", f"{server.url}publish/slow"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    for number in range(3):
        process.stdin.write(b"%d\n" % number)
        process.stdin.flush()
        process.stdout.readline()
        assert events(server, "slow") == [*range(number + 1)]
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=5) == (b"", b"")
    assert process.returncode == 130


def test_ctrl_c_while_redis_is_away():
    """Ctrl-C ends the command immediately, without a message, even if Redis does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        process = subprocess.Popen(
            [*COMMAND, "publish", "a", "1", "--engine", url],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with silent.accept()[0]:
            begin = time.monotonic()
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=5) == (b"", b"")
            assert time.monotonic() - begin < 1.5
    assert process.returncode == 130


def test_a_bad_line(command, server):
    """The events before a bad line are published, and the error names the line."""
    url = f"{server.url}publish/bad"
    status, out, err = command("publish", "bad", "-", "--url", url, input="1\n2\n{\n4\n")
    assert (status, len(out.split())) == (1, 2)
    assert err.startswith("python -m tatsumaki_py publish: line 3: not JSON: Expecting property")
    assert err.count("\n") == 1
    assert events(server, "bad") == [1, 2]


def test_by_redis(command, redis_server, monkeypatch):
    """The engine can be given with the flag or in the environment."""
    publish.main(["a", "1", "--engine", redis_server.url], "publish")
    monkeypatch.setenv("TATSUMAKI_ENGINE", redis_server.url)
    status, out, err = command("publish", "a", "-", input="2\n3\n")
    assert (status, len(out.split()), err) == (0, 2, "")
    assert redis_server.ask("XLEN", "tats:{a}:s") == ":3"


def test_redis_is_away(command):
    """If Redis does not answer, the error is one line, without the password."""
    url = "redis://:secret@127.0.0.1:1?publish_timeout=0.1"
    status, out, err = command("publish", "a", "1", "--engine", url)
    assert (status, out) == (1, "")
    assert err == (
        "python -m tatsumaki_py publish: 503 the events were not accepted within 0.1 s: "
        "Error 111 connecting to 127.0.0.1:1. Connect call failed ('127.0.0.1', 1).\n"
    )


NO_EVENT = "give the JSON of an event, or --end"
EMPTY = "it is empty: is a shell variable not set?"


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (["a", "nix"], 1, "not JSON: Expecting value: line 1 column 1 (char 0)"),
        (["a", "1 2"], 1, "not JSON: Extra data: line 1 column 2 (char 1)"),
        (["a", '"\udcff"'], 1, "not JSON: 'utf-8' codec can't decode byte 0xff in position 1: "
         "invalid start byte"),
        (["a", '{"type": "gap"}'], 1, "not an event: an event of type \"gap\" would be taken for a "
         "loss; give it another type"),
        (["a", "[" * 100_000], 1, "not JSON: nested too deeply"),
        (["a", "1", "--engine", "memory:"], 2, "--engine: the events of memory: belong to one "
         "process: publish through a PublishHandler of that process, with its URL, such as "
         "http://127.0.0.1:5000/publish/{channel}"),
        (["a", "1", "--header", "secret"], 2, "argument --header: a header must have the form "
         "'NAME: VALUE'"),
        (["a", "-", "--idempotency-key", "k"], 2, "--idempotency-key needs a single event"),
        (["a", "1", "--header", "a b: secret"], 2, "argument --header: not a header name: 'a b'"),
        (["a", "1", "--timeout", "0.01"], 2, "argument --timeout: '0.01' is not a number of "
         "seconds from 0.05 to 300"),
        (["a", "1", "--engine", "redis://h", "--header", "a: b"], 2, "--engine: headers need an "
         "http:// or https:// URL"),
        (["a", "1", "--url", "http://"], 2, "--url: Bad URL: no host"),
        (["a", "1", "--engine", ""], 2, f"argument --engine: {EMPTY}"),
        (["a", "1", "--url", ""], 2, f"argument --url: {EMPTY}"),
        (["", "1"], 2, f"argument channel: {EMPTY}"),
        (["a", "1", "--timeout", "-1"], 2, "argument --timeout: '-1' is not a number of seconds "
         "from 0.05 to 300"),
        (["a", "1", "--timeout", "nan"], 2, "argument --timeout: 'nan' is not a number of seconds "
         "from 0.05 to 300"),
        (["a"], 2, NO_EVENT),
        (["a", "1", "--end"], 2, NO_EVENT),
    ],
)  # fmt: skip
def test_mistakes(mistake, arguments, status, line):
    if len(arguments) < 4:
        arguments = [*arguments, "--url", "http://127.0.0.1:1/a"]
    assert mistake(publish, *arguments) == (status, line)


def test_no_url(mistake, monkeypatch):
    """A missing URL is an error; a wrong one in the environment is named without its password."""
    monkeypatch.delenv("TATSUMAKI_ENGINE", raising=False)
    line = "--url or --engine is missing, or TATSUMAKI_ENGINE in the environment"
    assert mistake(publish, "a", "1") == (2, line)
    monkeypatch.setenv("TATSUMAKI_ENGINE", "nats://:s3cret@h")
    status, line = mistake(publish, "a", "1")
    assert (status, line[:50]) == (2, "TATSUMAKI_ENGINE: an engine's URL must begin with ")
    assert "s3cret" not in line


def test_refusals(mistake, server):
    """The error contains the status and text of the server; a header can authenticate."""
    url = f"{server.url}private/{{channel}}"
    assert mistake(publish, "a", "1", "--url", url) == (1, "403 Forbidden")
    assert mistake(publish, "a", "1", "--url", f"{server.url}nothing/a") == (1, "404 Not Found")
    publish.main(["a", "1", "--url", url, "--header", "Authorization: Bearer t"], "publish")


def test_stdin_and_stdout(command, server):
    """A full disk and a closed stdin are errors; with a closed stdout, the event is published.

    The command does not import the server.
    """
    url = f"{server.url}publish/stdout"
    script = """
python -m tatsumaki_py publish stdout 1 --url $URL > /dev/full
python -m tatsumaki_py publish stdout - --url $URL <&-
python -X importtime -m tatsumaki_py publish stdout 2 --url $URL 2>&1 >&- | grep -c "[.]server"
"""
    done = subprocess.run(
        ["sh", "-c", script.replace("python", f"{sys.executable} -W error")],
        cwd=ROOT,
        env=os.environ | {"URL": url},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.stderr == (
        "python -m tatsumaki_py publish: stdout: No space left on device\n"
        "python -m tatsumaki_py publish: stdin is closed\n"
    )
    assert done.stdout == "0\n"
    assert events(server, "stdout") == [1, 2]


def test_the_reader_of_the_ids_is_gone(server):
    """If the reader of its ids has gone, the command ends with status 141, without a message."""
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run(
        [*COMMAND, "publish", "pipe", "1", "--url", f"{server.url}publish/pipe"],
        cwd=ROOT,
        stdout=write,
        stderr=subprocess.PIPE,
        timeout=10,
    )
    os.close(write)
    assert (process.returncode, process.stderr) == (141, b"")
