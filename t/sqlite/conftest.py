"""Fixtures for the tests of the SQLite engine."""

import gc
import shutil

import pytest

from tatsumaki_py import MessageQueue


@pytest.fixture
def path(tmp_path):
    """The path of a file that does not exist yet."""
    return tmp_path / "events.db"


class Program:
    """A program with a queue that can be stopped or killed and restarted with the same file."""

    def __init__(self, path):
        self.path = path
        self.lives = 0
        self.options = {}

    def start(self, **settings):
        """Begin a life. Returns the queue of the channel "room" with these settings."""
        self.lives += 1
        MessageQueue.configure(f"sqlite:{self.path}", **self.options)
        # The settings are set on a class, so that they exist before the channel is loaded.
        return type("Queue", (MessageQueue,), settings).instance("room")

    @property
    def engine(self):
        """The engine of this life."""
        return MessageQueue._registry.engine

    async def stop(self):
        """End this life normally. The clients must have left before."""
        engine = self.engine if MessageQueue._registry._engine else None
        MessageQueue.reset()
        for queues in (MessageQueue._registry.instances, MessageQueue._registry.merged):
            queues.clear()
        if engine is not None:
            await engine.close()
        gc.collect()

    async def kill(self):
        """End this life, and keep the files that a process would leave if it were killed now."""
        left = self.path.with_name(f"events{self.lives}.db")
        for end in ("", "-wal"):
            shutil.copy(f"{self.path}{end}", f"{left}{end}")
        await self.stop()
        self.path = left


@pytest.fixture
def program(path, io_loop):
    """A `Program`, which is stopped after the test."""
    program = Program(path)
    yield program
    io_loop.run_sync(program.stop)
