"""A stream that reads on for long lets others have their turn, and gets all in order."""

import asyncio
import time

import pytest
from message_queue.fakes import FakePeer, events, numbers
from support.answers import until


class Slow(FakePeer):
    """What it does with each piece takes the loop some time."""

    def on_new_event(self, *events):
        super().on_new_event(*events)
        time.sleep(0.004)


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_turns(make_queue):
    """Others run before all is delivered."""
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
    """One that was busy gets no more than 1 MiB at once, and others have their turn."""
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
    """One that was busy gets no more than 1 MiB at once."""
    queue, got = make_queue(), []
    await queue.ready()
    cursor = queue.cursor()
    await queue.publish(*({"n": n, "text": "x" * 400_000} for n in range(9)))
    async for batch in queue.poll("bot", last_event_id=cursor):
        got.append(numbers(batch))
        if len(got) == 5:
            break
    assert got == [[0, 1], [2, 3], [4, 5], [6, 7], [8]]
