"""No reference cycle keeps a queue, a client, a callback or the callback's owner alive."""

import asyncio
import contextlib
import gc
import weakref

import pytest

from tatsumaki_py import MessageQueue


@pytest.fixture(autouse=True)
def no_collector():
    """Objects in these tests are freed by reference counting, without the garbage collector."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class Owner:
    """An object with callbacks, events and a reference to the queue."""

    def __init__(self, mq):
        self.mq = mq
        self.seen = []

    def on_new_event(self, *events):
        self.seen.extend(events)

    async def later(self, *events):
        await asyncio.sleep(0)
        self.on_new_event(*events)

    def again(self, *events):
        self.on_new_event(*events)
        self.mq.poll_once("me", self.again)

    async def wait(self):
        self.seen += await self.mq.poll_once("me")

    async def iterate(self):
        async for events in self.mq.poll("me"):
            self.seen += events


async def poll_once(mq, owner):
    mq.poll_once("me", owner.on_new_event)
    mq.publish({"n": 1})


async def poll_once_without_events(mq, owner):
    mq.poll_once("me", owner.on_new_event)
    mq.publish()


async def poll_cancelled(mq, owner):
    owner.poll = mq.poll("me", owner.on_new_event)
    mq.publish({"n": 1})
    owner.poll.cancel()


async def poll_superseded(mq, owner):
    mq.poll("me", owner.on_new_event)
    mq.publish({"n": 1})
    mq.poll("me", lambda *events: None).cancel()


async def poll_superseded_while_waiting(mq, owner):
    mq.poll_once("me", owner.on_new_event)
    mq.poll_once("me", lambda *events: None, timeout=0)


async def poll_disconnected(mq, owner):
    mq.poll("me", owner.on_new_event)
    mq.publish({"n": 1})
    mq.disconnect()


async def poll_again_inside(mq, owner):
    mq.poll_once("me", owner.again)
    mq.publish({"n": 1})
    mq.publish({"n": 2})
    mq.poll_once("me", lambda *events: None, timeout=0)
    # The previous call ended the old poll, whose callback polled again.
    mq.poll_once("me", lambda *events: None, timeout=0)
    for client in [*mq.clients.values()]:
        client.listener and client.listener.cancel()


async def coroutine_callback(mq, owner):
    mq.poll_once("me", owner.later)
    mq.publish({"n": 1})
    await asyncio.sleep(0.01)


async def refused(mq, owner):
    with contextlib.suppress(ValueError):
        mq.poll_once("me", owner.on_new_event, last_event_id="bad")


async def awaited(mq, owner):
    task = asyncio.ensure_future(owner.wait())
    await asyncio.sleep(0)
    mq.publish({"n": 1})
    await task


async def iterated(mq, owner):
    task = asyncio.ensure_future(owner.iterate())
    await asyncio.sleep(0)
    mq.publish({"n": 1})
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])


WAYS = [
    poll_once,
    poll_once_without_events,
    poll_cancelled,
    poll_superseded,
    poll_superseded_while_waiting,
    poll_disconnected,
    poll_again_inside,
    coroutine_callback,
    refused,
    awaited,
    iterated,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.gen_test
async def test_freed(way, clock):
    """The owner of a callback is freed immediately; an unused queue is freed after its timeouts."""
    mq = MessageQueue.instance("cycle")
    owner = Owner(mq)
    refs = [weakref.ref(owner), weakref.ref(mq)]
    await way(mq, owner)
    del owner
    assert refs[0]() is None
    del mq
    await clock.advance(MessageQueue.reconnect_time + 1)
    await clock.advance(MessageQueue.idle_timeout + 1)
    assert refs[1]() is None
    assert "cycle" not in {queue.channel for queue in MessageQueue.channels()}
