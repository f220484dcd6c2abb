"""The URL of a SQLite file, and its options."""

import contextlib
import sqlite3

import pytest

from tatsumaki_py import MessageQueue
from tatsumaki_py.message_queue.engine.choose import choose
from tatsumaki_py.message_queue.engine.sqlite.options import parse


def test_a_path(tmp_path, monkeypatch):
    """A relative path is resolved against the working directory when the URL is parsed."""
    monkeypatch.chdir(tmp_path)
    assert parse("sqlite:events.db", {}).path == f"{tmp_path}/events.db"
    assert parse("sqlite:./a/../b.db", {}).path == f"{tmp_path}/b.db"
    assert parse("sqlite:/var/lib/events.db", {}).path == "/var/lib/events.db"
    assert parse("sqlite:/a%3Fb%20c.db", {}).path == "/a?b c.db"


@pytest.mark.parametrize("url", ["sqlite:", "sqlite:?synchronous=full", "sqlite://events.db"])
def test_no_path(url):
    with pytest.raises(ValueError, match=r"a SQLite file must be like sqlite:events\.db or"):
        MessageQueue.configure(url)


def test_bad_urls():
    with pytest.raises(ValueError, match="use memory:"):
        MessageQueue.configure("sqlite::memory:")
    with pytest.raises(ValueError, match="names a folder"):
        MessageQueue.configure("sqlite:/tmp/")
    with pytest.raises(ValueError, match="the option synchronous must be one of normal, full, not"):
        MessageQueue.configure("sqlite:/tmp/events.db?synchronous=off")
    with pytest.raises(ValueError, match="did you mean synchronous"):
        MessageQueue.configure("sqlite:/tmp/events.db", synchronus="full")


@pytest.mark.parametrize(("option", "level"), [(None, 1), ("normal", 1), ("full", 2)])
@pytest.mark.gen_test
async def test_synchronous(path, option, level):
    """The option sets `PRAGMA synchronous`. Choosing the engine does not create the file yet."""
    choice = choose(f"sqlite:{path}", {"synchronous": option} if option else {})
    assert not choice.shared
    assert not path.exists()
    engine = choice.make()
    (found,) = engine._session._file.writer.execute("PRAGMA synchronous").fetchone()
    assert found == level
    assert engine._session._file.writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    await engine.close()
    with contextlib.closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
