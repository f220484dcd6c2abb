"""A file that cannot be used is refused with a one-line error that says what to do."""

import os
import sqlite3
import tempfile
from pathlib import Path

import pytest
from support.forked import in_fork

from tatsumaki_py.message_queue import EngineError
from tatsumaki_py.message_queue.engine.choose import choose


@pytest.fixture
def refusal(path):
    """`text = refusal()` returns the engine's error about the file, which must stay unchanged."""

    def refuse(of=path):
        before = of.read_bytes() if of.is_file() else None
        with pytest.raises(EngineError) as raised:
            choose(f"sqlite:{of}", {}).make()
        assert (of.read_bytes() if of.is_file() else None) == before
        text = str(raised.value)
        assert "\n" not in text
        assert str(of) in text
        return text

    return refuse


def test_of_another_program(path, refusal):
    file = sqlite3.connect(path)
    file.execute("CREATE TABLE users (name)")
    file.close()
    assert "belongs to another program: choose another file" in refusal()
    assert os.listdir(path.parent) == ["events.db"]


def test_of_another_program_without_a_table(path, refusal):
    file = sqlite3.connect(path)
    file.execute("PRAGMA application_id = 7")
    file.close()
    assert "belongs to another program" in refusal()


@pytest.mark.gen_test
async def test_of_a_newer_version(path, refusal):
    await choose(f"sqlite:{path}", {}).make().close()
    file = sqlite3.connect(path)
    file.execute("PRAGMA user_version = 99")
    file.close()
    assert "made by a newer version of tatsumaki_py (schema 99, " in refusal()


def test_not_a_database(path, refusal):
    path.write_bytes(b"Dear diary, today was a good day." * 100)
    text = refusal()
    assert "file is not a database" in text
    assert "move it away to begin with an empty file, restore a copy, or rescue" in text


@pytest.mark.gen_test
async def test_broken(path, refusal):
    """A file whose schema page was overwritten is refused; the error says how to recover it."""
    await choose(f"sqlite:{path}", {}).make().close()
    page = path.read_bytes()
    path.write_bytes(page[:100] + b"\xff" * 3996 + page[4096:])
    text = refusal()
    assert "malformed" in text
    assert f"sqlite3 {path} .recover | sqlite3 {path}-recovered" in text


@pytest.mark.gen_test
async def test_cut_off(path, refusal):
    """A file whose table pages are missing is refused."""
    await choose(f"sqlite:{path}", {}).make().close()
    path.write_bytes(path.read_bytes()[:4096])
    assert "malformed" in refusal()


def test_no_folder(tmp_path, refusal):
    text = refusal(tmp_path / "none" / "events.db")
    assert f"this process must be able to write to the folder {tmp_path}/none" in text


def test_a_folder(tmp_path, refusal):
    (tmp_path / "folder.db").mkdir()
    assert "unable to open database file" in refusal(tmp_path / "folder.db")


@pytest.mark.skipif(
    not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can become another user"
)
def test_read_only_folder():
    """A user that can read the folder but cannot write to it gets an error that says so."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)

        def make():
            os.setuid(65534)
            choose(f"sqlite:{folder}/events.db", {}).make()

        said = in_fork(make)
    assert said.startswith("EngineError: ")
    assert f"this process must be able to write to the folder {folder}" in said
