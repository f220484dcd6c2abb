"""If the disk is full or the file is damaged, publishers get an error, and listeners stay."""

import asyncio
import gc
import os
import resource

import pytest
from message_queue.fakes import Taker, numbers
from support.answers import until

from tatsumaki_py import Error, MessageQueue
from tatsumaki_py.message_queue.engine.sqlite import feeds, trouble

LARGE = "x" * 100_000


@pytest.fixture
def calm(monkeypatch):
    """A short `CALM`, after which the log says that the trouble is over."""
    monkeypatch.setattr(trouble, "CALM", 0.05)


@pytest.fixture
def fill(program, calm):
    """`fill()` stops the file from growing, and `fill(False)` lets it grow again."""

    def fill(full=True):
        pages = 2 if full else 10**6
        program.engine._session._file.writer.execute(f"PRAGMA max_page_count = {pages}")

    return fill


@pytest.mark.gen_test
async def test_full(program, fill, expect_log):
    """One line is logged when the disk is full and one when it has room; events stay readable."""
    queue = program.start()
    taker = Taker()
    queue.poll("me", taker)
    (id,) = await queue.publish({"n": 1})
    with expect_log(
        "tatsumaki", "events cannot be stored in .*full; publishers get a 503"
    ) as lines:
        fill()
        for _ in range(3):
            with pytest.raises(Error.HTTP) as error:
                await queue.publish({"n": 0, "text": LARGE})
            assert error.value.code == 503
            assert error.value.message == ("the event cannot be stored: database or disk is full")
        # A publish that is not awaited logs no further line.
        queue.publish({"n": 0, "text": LARGE})
        await asyncio.sleep(0.05)
        gc.collect()
        assert numbers(await queue.poll_once(None)) == [1]
    assert len(lines) == 1
    with expect_log("tatsumaki", "events can be stored in .* again") as lines:
        fill(False)
        await queue.publish({"n": 2, "text": LARGE})
        await asyncio.sleep(0.1)
        await queue.publish({"n": 3})
        await until(lambda: lines)
    assert len(lines) == 1
    assert taker.seen == [1, 2, 3]
    assert numbers(await queue.poll_once(None, last_event_id=id)) == [2, 3]


@pytest.mark.gen_test
async def test_the_system_refuses(program, calm, expect_log):
    """An error from the operating system is also answered with 503 and logged."""
    queue = program.start()
    await queue.publish({"n": 1})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = os.path.getsize(f"{program.path}-wal")
    with expect_log("tatsumaki", "events cannot be stored in"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 8192, hard))
        try:
            with pytest.raises(Error.HTTP) as error:
                await queue.publish({"n": 0, "text": LARGE})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert error.value.code == 503
    with expect_log("tatsumaki", "events can be stored in .* again") as lines:
        await queue.publish({"n": 2})
        await asyncio.sleep(0.1)
        await queue.publish({"n": 3})
        await until(lambda: lines)
    await program.kill()
    assert numbers(program.start().backlog_events) == [1, 2, 3]


@pytest.mark.gen_test
async def test_a_broken_page(program, log_watch):
    """Polls and publishes of channels on a broken page raise an error; each kind logs one line."""
    queue = program.start()
    for name in ("a", "b", "c"):
        await MessageQueue.instance(name).publish({"n": 1, "text": LARGE[:3000]})
    await queue.publish({"n": 1})
    await program.stop()
    page = page_of(program.path, b'{"n":1,"text"')
    content = bytearray(program.path.read_bytes())
    content[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    program.path.write_bytes(content)
    with log_watch.expect("tatsumaki", "events in .* cannot be read: .*malformed") as lines:
        program.start()
        for name in ("a", "b", "c"):
            with pytest.raises(Error.HTTP, match="the events cannot be read"):
                await MessageQueue.instance(name).poll_once("me", timeout=1)
    assert len(lines) == 1
    storing = log_watch.expect("tatsumaki", "events cannot be stored in .*malformed")
    with storing, pytest.raises(Error.HTTP, match="the event cannot be stored"):
        await MessageQueue.instance("a").publish({"n": 2})


@pytest.mark.gen_test
async def test_a_large_channel_on_a_broken_page(program, log_watch, monkeypatch):
    """Each poll tries to load the channel again, raises an error, and does not hang."""
    monkeypatch.setattr(feeds, "RETRY", 0.02)
    settings = {"backlog_length": 2000, "buffer_length": 2000}
    queue = program.start(**settings)
    await queue.publish(*({"n": n, "text": "x" * 100} for n in range(2000)))
    await program.stop()
    content = bytearray(program.path.read_bytes())
    page = page_of(program.path, b'{"n":104,"text"') * 4096
    content[page : page + 200] = b"\xff" * 200
    program.path.write_bytes(content)
    with log_watch.expect("tatsumaki", "events in .* cannot be read: .*malformed") as lines:
        queue = program.start(**settings)
        for _ in range(3):
            with pytest.raises(Error.HTTP, match="the events cannot be read"):
                await queue.poll_once("me", timeout=3)
            assert numbers(await MessageQueue.instance("other").poll_once("me", timeout=0)) == []
    assert len(lines) == 1


def page_of(path, text):
    """The number of the page that contains `text`, starting at 0."""
    return path.read_bytes().index(text) // 4096
