"""When a program ends, normally or with an exception, published events are stored first."""

import os
import signal
import sqlite3
import subprocess
import sys

import pytest
from support.program import ROOT

PROGRAM = """
import asyncio, os, signal, sys
from tatsumaki_py import Application, MessageQueue, Server
MessageQueue.configure("sqlite:" + sys.argv[2])
queue = MessageQueue.instance("room")

def publish():
    queue.publish({"n": 1})
    queue.publish({"n": 2}, {"n": 3})

def last(end):
    # The loop ends immediately: nothing runs after this.
    publish()
    end()

def fork():
    if os.fork() == 0:
        sys.exit()
    os.wait()

loop = asyncio.new_event_loop()
ends = {
    "exit": sys.exit,
    "interrupt": lambda: os.kill(os.getpid(), signal.SIGINT),
    "fork": lambda: (fork(), sys.exit()),
}
how = sys.argv[1]
if how == "error":
    publish()
    raise RuntimeError("a mistake")
elif how == "server":
    server = Server("127.0.0.1", 0)
    app = Application([])
    app.on_start(lambda: (publish(), os.kill(os.getpid(), signal.SIGTERM)) and None)
    server.run(app)
else:
    loop.call_soon(last, ends[how])
    loop.run_forever()
"""
ENDS = {"exit": 0, "interrupt": -signal.SIGINT, "fork": 0, "error": 1, "server": 0}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on Windows")
def test_ends(tmp_path):
    running = {
        how: subprocess.Popen(
            [sys.executable, "-c", PROGRAM, how, tmp_path / f"{how}.db"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for how in ENDS
    }
    assert {how: process.wait(20) for how, process in running.items()} == ENDS
    for how in ENDS:
        # The file was closed: SQLite's log is gone, and the next life does not assume a kill.
        assert not (tmp_path / f"{how}.db-wal").exists(), how
        file = sqlite3.connect(tmp_path / f"{how}.db")
        assert file.execute("SELECT body FROM events ORDER BY ms, seq").fetchall() == [
            (b'{"n":1}',),
            (b'{"n":2}',),
            (b'{"n":3}',),
        ], how
        assert file.execute("SELECT open FROM life").fetchone() == (0,), how
        file.close()
