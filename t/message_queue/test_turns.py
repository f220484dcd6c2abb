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
