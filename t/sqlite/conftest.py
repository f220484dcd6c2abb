"""Fixtures of the tests of the SQLite engine."""

import gc
import shutil

import pytest

from tatsumaki_py import MessageQueue


@pytest.fixture
def path(tmp_path):
    """The path of a file that does not exist yet."""
    return tmp_path / "events.db"


class Program:
    """A program with a queue, which is stopped or killed, and started again with the same file."""

    def __init__(self, path):
        self.path = path
        self.lives = 0
        self.options = {}

    def start(self, **settings):
        """Begins a life. Returns the queue of the channel "room", with these settings."""
        self.lives += 1
        MessageQueue.configure(f"sqlite:{self.path}", **self.options)
        # Settings of a class are there before the channel is loaded.
        return type("Queue", (MessageQueue,), settings).instance("room")

    @property
    def engine(self):
        """The engine of this life."""
        return MessageQueue._registry.engine

    async def stop(self):
        """Ends this life in order. The clients have left before."""
        engine = self.engine if MessageQueue._registry._engine else None
        MessageQueue.reset()
        for queues in (MessageQueue._registry.instances, MessageQueue._registry.merged):
            queues.clear()
        if engine is not None:
            await engine.close()
        gc.collect()

    async def kill(self):
        """Ends this life with the files that a process leaves which is killed now."""
        left = self.path.with_name(f"events{self.lives}.db")
        for end in ("", "-wal"):
            shutil.copy(f"{self.path}{end}", f"{left}{end}")
        await self.stop()
        self.path = left


@pytest.fixture
def program(path, io_loop):
    """See `Program`."""
    program = Program(path)
    yield program
    io_loop.run_sync(program.stop)
