"""The engine notices if its file is deleted, moved or replaced while the program runs."""

import asyncio
import os
import shutil

import pytest
from message_queue.fakes import Taker
from support.answers import until

from tatsumaki_py import Error
from tatsumaki_py.message_queue.engine.sqlite import trouble, writer


def replace(path):
    shutil.copy(path, f"{path}.copy")
    os.replace(f"{path}.copy", path)


@pytest.mark.parametrize("end", ["", "-wal", "-shm", "-lock"])
@pytest.mark.parametrize("change", [os.remove, replace])
@pytest.mark.gen_test
async def test_publish_fails(program, expect_log, change, end):
    """Publishing is refused with a 503, as an acknowledged event would be lost."""
    queue = program.start()
    taker = Taker()
    queue.poll("me", taker)
    await queue.publish({"n": 1})
    change(f"{program.path}{end}")
    with expect_log("tatsumaki", f"events cannot be stored in .*events.db{end} was deleted"):
        for _ in range(2):
            with pytest.raises(Error.HTTP, match="put it back, or restart the program") as error:
                await queue.publish({"n": 2})
            assert error.value.code == 503
    assert taker.seen == [1]


@pytest.mark.gen_test
async def test_it_is_put_back(program, monkeypatch, expect_log):
    """A missing file is logged even if nothing is published; once it is back, publishing works."""
    monkeypatch.setattr(writer, "SWEEP", 0.02)
    monkeypatch.setattr(trouble, "CALM", 0.0)
    queue = program.start()
    await queue.publish({"n": 1})
    with expect_log("tatsumaki", "events cannot be stored in .* was deleted, moved") as lines:
        os.rename(program.path, f"{program.path}.moved")
        await until(lambda: lines)
    os.rename(f"{program.path}.moved", program.path)
    await asyncio.sleep(0.05)
    with expect_log("tatsumaki", "events can be stored in .* again"):
        await queue.publish({"n": 2})
