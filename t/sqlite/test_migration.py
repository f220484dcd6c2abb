"""The schema of the file is upgraded from one version to the next."""

import sqlite3

import pytest
from message_queue.fakes import events, numbers

from tatsumaki_py.message_queue import EngineError
from tatsumaki_py.message_queue.engine.sqlite import file as files

NOW = len(files.STEPS)
STEP = ("ALTER TABLE channels ADD COLUMN color TEXT", "UPDATE channels SET color = 'red'")


@pytest.fixture
def version(path):
    """`version()` returns the version of the file's schema."""

    def ask():
        file = sqlite3.connect(path)
        (found,) = file.execute("PRAGMA user_version").fetchone()
        file.close()
        return found

    return ask


@pytest.mark.gen_test
async def test_an_empty_file(path, program, version):
    """An empty file has schema version 0 and is upgraded to the current version."""
    path.touch()
    await program.start().publish({"n": 1})
    await program.stop()
    assert version() == len(files.STEPS)


@pytest.mark.gen_test
async def test_an_older_version(path, program, version, monkeypatch):
    """The steps that a file lacks are applied to it, and it keeps its events."""
    await program.start().publish(*events(1, 2))
    await program.stop()
    assert version() == NOW
    monkeypatch.setattr(files, "STEPS", [*files.STEPS, STEP])
    assert numbers(program.start().backlog_events) == [1, 2]
    await program.stop()
    assert version() == NOW + 1
    file = sqlite3.connect(path)
    assert file.execute("SELECT color FROM channels").fetchall() == [("red",)]
    file.close()


@pytest.mark.gen_test
async def test_a_step_that_fails(path, program, version, monkeypatch):
    """If a step fails, the file keeps its old version and its events."""
    await program.start().publish(*events(1, 2))
    await program.stop()
    with monkeypatch.context() as patch:
        patch.setattr(files, "STEPS", [*files.STEPS, (*STEP, "no SQL")])
        with pytest.raises(EngineError, match="syntax error"):
            program.start()
    assert version() == NOW
    await program.stop()
    assert numbers(program.start().backlog_events) == [1, 2]
