"""A file is used by one process at a time; a killed process leaves no lock behind."""

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest
from message_queue.fakes import Taker, events, numbers
from support.forked import in_fork
from support.program import ROOT

from tatsumaki_py.message_queue import EngineError
from tatsumaki_py.message_queue.engine.choose import choose

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on Windows")

REFUSED = "is used by another process: a SQLite file is for one process"


@pytest.mark.gen_test
async def test_a_second_process_is_refused(path):
    """While an engine has the file open, another engine in any process is refused."""
    engine = choose(f"sqlite:{path}", {}).make()
    make = choose(f"sqlite:{path.parent}/./events.db", {}).make
    said = in_fork(make)
    assert said.startswith(f"EngineError: {path} {REFUSED}")
    assert "\n" not in said
    with pytest.raises(EngineError, match=REFUSED):
        make()
    await engine.close()
    assert "EngineError" not in in_fork(make)


def test_a_server_does_not_start(path):
    """A server whose file is in use exits with status 1 and prints one line that says why."""
    engine = choose(f"sqlite:{path}", {}).make()
    program = "from tatsumaki_py import *; Server('127.0.0.1', 0).run(Application([]))"
    environment = {**os.environ, "TATSUMAKI_ENGINE": f"sqlite:{path}"}
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert ended.returncode == 1
    assert [REFUSED in line for line in ended.stderr.splitlines()] == [True], ended.stderr
    asyncio.run(engine.close())


def test_a_process_that_was_killed(path):
    """After a process was killed, the next process can open the file immediately."""
    pid = os.fork()
    if pid == 0:
        try:
            engine = choose(f"sqlite:{path}", {}).make()
            path.with_suffix(".ready").touch()
            time.sleep(20)
            del engine
        finally:
            os._exit(1)
    while not path.with_suffix(".ready").exists():
        time.sleep(0.01)
    with pytest.raises(EngineError, match=REFUSED):
        choose(f"sqlite:{path}", {}).make()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    asyncio.run(choose(f"sqlite:{path}", {}).make().close())


@pytest.mark.gen_test
async def test_a_forked_process_leaves_the_file_to_its_parent(program):
    """A forked process is refused like any other process, and its parent keeps using the file."""
    queue = program.start()
    taker = Taker()
    queue.poll("me", taker)
    await queue.publish({"n": 1})
    engine = program.engine

    def publish():
        async def main():
            await engine.publish(queue._channel, [b"2"])

        return asyncio.run(main())

    assert REFUSED in await asyncio.to_thread(in_fork, publish)
    await queue.publish(*events(3))
    assert taker.seen == [1, 3]
    await program.stop()
    assert numbers(program.start().backlog_events) == [1, 3]
