"""The chat in three processes with Redis: clients can connect to any of them."""

import os
import re
import signal
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from support.program import ROOT, STOP, free_port

from tatsumaki_py.testing import Ended, Subscriber

STREAMS = 15
ROOM = "/chat/lobby"


class Stream(Subscriber):
    """A stream of the room."""

    @classmethod
    async def of(cls, port, cursor=None):
        stream = cls(f"http://127.0.0.1:{port}{ROOM}/events", cursor=cursor)
        await stream.start()
        return stream

    async def texts(self, count):
        """The texts of the next `count` messages."""
        return [(await self.next()).data["html"] for _ in range(count)]


def post(port, text):
    urllib.request.urlopen(
        f"http://127.0.0.1:{port}{ROOM}/post", f"text={text}".encode(), timeout=5
    ).close()


@pytest.mark.gen_test
async def test_three_processes(popen, tmp_path, redis_server):
    """A message that is posted to one process reaches the streams of all.

    A process that is killed is started again, and its clients resume at any process.
    """
    port = free_port()
    variables = {"TATSUMAKI_ENGINE": redis_server.url, "PORT": str(port)}
    program = ROOT / "examples/chat/app.py"
    variables["TATSUMAKI_PROCESSES"] = "3"
    process = popen(sys.executable, program, environment=variables)
    log = tmp_path / "log"
    assert process.stdout.readline().startswith("Listening"), log.read_text()
    streams = [await Stream.of(port) for _ in range(STREAMS)]
    texts = [f"m{number}" for number in range(6)]
    for text in texts:
        post(port, text)
    # The chat does not wait until a message is accepted, so two workers may swap their messages.
    orders = [await stream.texts(len(texts)) for stream in streams]
    assert sorted(orders[0]) == texts
    assert orders == [orders[0]] * STREAMS
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    os.kill(int(children.split()[0]), signal.SIGKILL)
    post(port, "while it is away")
    reached = 0
    for stream in streams:
        try:
            assert await stream.texts(1) == ["while it is away"]
            reached += 1
        except (EOFError, OSError, Ended):
            stream.close()
            again = await Stream.of(port, stream.cursor)
            assert await again.texts(1) == ["while it is away"]
            again.close()
    assert 0 < reached < STREAMS
    deadline = time.monotonic() + 10
    while log.read_text().count(" is listening\n") < 4:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    for stream in streams:
        stream.close()
    assert process.wait(STOP) == 0
    lines = [line for line in log.read_text().splitlines() if "/chat/lobby/events" in line]
    numbers = {re.search(r"worker (\d)", line)[1] for line in lines}
    # A killed worker cannot log its streams, but a client may reconnect to its replacement.
    assert len(numbers) >= 2
    assert "Traceback" not in log.read_text()
