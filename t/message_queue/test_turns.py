"""A long delivery lets other tasks run in between, and delivers all events in order."""

import asyncio
import time

import pytest
from message_queue.fakes import FakePeer, events, numbers
from support.answers import until


class Slow(FakePeer):
    """A peer whose callback blocks the loop for 4 ms."""

    def on_new_event(self, *events):
        super().on_new_event(*events)
        time.sleep(0.004)


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_turns(make_queue):
    """Other callbacks of the loop run before a long backlog has been delivered."""
    queue = make_queue(backlog_length=100)
    await queue.publish(*({"n": n, "text": "x" * 900} for n in range(40)))
    peer, seen = Slow(), []
    asyncio.get_running_loop().call_soon(lambda: seen.append(len(peer.calls)))
    queue.poll("me", peer.on_new_event)
    await until(lambda: sum(map(len, peer.calls)) == 40)
    assert [n for call in peer.calls for n in call] == [*range(40)]
    assert 0 < seen[0] < 20
    await queue.publish(*events(40))
    assert peer.calls[-1] == [40]
    assert numbers(await queue.poll_once("me", timeout=0)) == []


@pytest.mark.gen_test
async def test_a_callback_without_a_client(make_queue):
    """A callback gets at most about 1 MiB per call, and other callbacks run in between."""
    queue, got, seen = make_queue(), [], []

    def take(*events):
        got.append(numbers(events))
        time.sleep(0.02)

    await queue.ready()
    cursor = queue.cursor()
    await queue.publish(*({"n": n, "text": "x" * 400_000} for n in range(9)))
    asyncio.get_running_loop().call_soon(lambda: seen.append(len(got)))
    queue.poll("bot", take, last_event_id=cursor)
    await until(lambda: len(got) == 5)
    assert got == [[0, 1], [2, 3], [4, 5], [6, 7], [8]]
    assert seen[0] < 5


@pytest.mark.gen_test
async def test_a_task_without_a_client(make_queue):
    """Code that iterates over a poll gets at most about 1 MiB per batch."""
    queue, got = make_queue(), []
    await queue.ready()
    cursor = queue.cursor()
    await queue.publish(*({"n": n, "text": "x" * 400_000} for n in range(9)))
    async for batch in queue.poll("bot", last_event_id=cursor):
        got.append(numbers(batch))
        if len(got) == 5:
            break
    assert got == [[0, 1], [2, 3], [4, 5], [6, 7], [8]]
