"""A real engine for tests that were written for the in-memory engine.

`publish` answers when the events have arrived here and the places of all clients have been found.
"""

import asyncio
import time

from tatsumaki_py import MessageQueue
from tatsumaki_py.message_queue import State
from tatsumaki_py.message_queue.ids import NOWHERE, position

WAIT = 2.0  # seconds at most


class Settled:
    """Passes all calls on to `engine`."""

    def __init__(self, engine):
        self._engine = engine
        self._attached = {}
        self._tasks = set()

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def publish(self, feed, bodies, **options):
        answer = self._engine.publish(feed, bodies, **options)
        task = asyncio.ensure_future(self._settled(feed, answer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _settled(self, feed, answer):
        ids = await answer
        end = time.monotonic() + WAIT
        while not self._here(feed, ids) and time.monotonic() < end:
            await asyncio.sleep(0.001)
        return ids

    def _here(self, feed, ids):
        if any(one.top == NOWHERE for one in self._attached.values()) or searching():
            return False
        if not ids or feed.name not in self._attached:
            return True
        return position(feed.top) >= position(ids[-1])

    def attach(self, feed):
        self._attached[feed.name] = feed
        self._engine.attach(feed)

    def detach(self, feed):
        self._attached.pop(feed.name, None)
        self._engine.detach(feed)

    def forget(self, feed):
        self._attached.pop(feed.name, None)
        self._engine.forget(feed)

    async def close(self):
        await self._engine.close()
        if self._tasks:
            await asyncio.wait(self._tasks)


def searching():
    """Whether the engine is being asked for the place of a client."""
    queues = [*MessageQueue.channels(), *MessageQueue._registry.merged.values()]
    clients = [client for queue in queues for client in queue.clients.values()]
    return any(client.state is State.LOADING for client in clients)
