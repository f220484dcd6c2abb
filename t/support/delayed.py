"""An engine outside the process: it answers each request some iterations of the loop later.

A `Store` stands for a server, and a `Delayed` for the engine of one process. The store keeps a log
for each channel, trimmed by length, size and age. The process sends its events in order, and
receives accepted events in order; the answers to `publish` come in any order.
"""

import asyncio
import random
import time
import weakref

from support.delayed_presence import DelayedPresence

from tatsumaki_py.message_queue.alarm import now
from tatsumaki_py.message_queue.engine import Engine
from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.message_queue.idempotency import Answers, digest_of
from tatsumaki_py.message_queue.ids import Ids, position


class Store:
    """The server, whose data outlives a process."""

    def __init__(self):
        self.ids = Ids()
        self.logs, self.tops, self.answers, self.places = {}, {}, {}, {}
        self.lasts = {}
        """The last event of each key, by channel."""
        self.present = {}
        """The named clients: `(process, hook, seconds)` by channels and name."""
        self.processes = weakref.WeakSet()
        self.times = {}

    def top(self, name):
        """The newest id of a channel, or the id at which the channel begins."""
        return self.tops.setdefault(name, self.ids.next())

    def kept(self, feed):
        """The last event of each key, oldest first, within the limits of the settings."""
        settings, lasts = feed.settings, list(self.lasts.get(feed.name, {}).values())
        lasts = lasts[max(0, len(lasts) - settings.kept_keys) :]
        while sum(event.size for event in lasts) > settings.buffer_size / 2:
            del lasts[0]
        since = 0 if settings.time_to_live is None else time.time() - settings.time_to_live
        return [event for event in lasts if position(event.id)[0] >= 1000 * since]

    def append(self, feed, bodies, key=None, name_of_events=None, quiet=False):
        """Accept events, and return their ids."""
        name, settings = feed.name, feed.settings
        answers = self.answers.setdefault(name, Answers())
        if name_of_events is not None:
            digest = digest_of(bodies, key)
            ids = answers.find(name_of_events, digest, now() - settings.idempotency_time)
            if ids is not None:
                return ids
        events, prev = [], self.top(name)
        for body in bodies:
            events.append(Entry(body, self.ids.next(), prev, channel=name, quiet=quiet, key=key))
            prev = self.tops[name] = events[-1].id
            self.times[prev] = now()
        ids = [event.id for event in events]
        if key is not None and events:
            lasts = self.lasts.setdefault(name, {})
            lasts.pop(key, None)
            lasts[key] = events[-1]
        if name_of_events is not None:
            limits = settings.idempotency_keys, settings.buffer_size
            answers.keep(name_of_events, digest, ids, now(), *limits)
        log = self.logs.setdefault(name, [])
        log += events
        kept = now() - max(settings.reconnect_time, settings.recovery_time) - 2
        while len(log) > settings.backlog_length and (
            len(log) > settings.buffer_length
            or sum(event.size for event in log) > settings.buffer_size
            or self.times[log[0].id] < kept
        ):
            self.times.pop(log.pop(0).id)
        for process in list(self.processes):
            process.told(name, events)
        return ids

    def after(self, name, cursor):
        """The events after `cursor`; None if the log no longer reaches back to `cursor`."""
        log = self.logs.get(name, [])
        if cursor == self.top(name):
            return []
        prevs = [event.prev for event in log]
        return log[prevs.index(cursor) :] if cursor in prevs else None

    def newest(self, name, count):
        """The newest `count` events."""
        log = self.logs.get(name, [])
        return log[int(max(0, len(log) - count)) :]

    def trim(self, name, length):
        """Drop all but the newest `length` events."""
        self.logs[name] = self.newest(name, length)


class Delayed(Engine):
    """The engine of one process.

    Args:
        store: the `Store` that several processes share.
        seed: the seed of the delays.
        late: whether logs and the places of names are loaded later. Otherwise, this must be the
            only process; it reads the store when a channel is opened.
        settled: whether `publish` answers only when no earlier work, except publishing, is left.
        linger: seconds for which a channel without listeners is fed.
        together: whether the engine has a `Presence`, because other processes also have clients.
    """

    presence = None

    def __init__(
        self, store=None, *, seed=0, late=True, settled=False, linger=60.0, together=False
    ):
        self.store = store or Store()
        self.store.processes.add(self)
        self.late, self.settled, self.linger = late, settled, linger
        self.feeds = {} if late else weakref.WeakValueDictionary()
        """The channels that are fed or are being loaded."""
        self.loading, self.lingering, self.inboxes = set(), {}, {}
        self.random = random.Random(seed)
        self.tasks, self.outbox, self.sender = set(), [], None
        self.lose = set()
        """Channels whose next message from the store is lost on its way."""
        self.failing = {}
        """By a method's name: a class to raise immediately, or an exception to raise later."""
        self.calls = []
        self.closed = False
        if together:
            self.presence = DelayedPresence(self)

    def start(self, work):
        """Run `work` as a task, and keep a reference to the task until it is done."""
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def delay(self):
        """Wait for a few iterations of the loop."""
        for _ in range(self.random.randint(1, 6)):
            await asyncio.sleep(0)

    def raise_at_once(self, method):
        self.calls.append(method)
        if isinstance(self.failing.get(method), type):
            raise self.failing[method](f"{method} failed")

    async def raise_later(self, method):
        await self.delay()
        if isinstance(self.failing.get(method), Exception):
            raise self.failing[method]

    # -- publish: events in the order of the calls, answers in any order

    def publish(self, feed, bodies, *, key=None, idempotency_key=None, quiet=False):
        self.raise_at_once("publish")
        answer = asyncio.get_running_loop().create_future()
        self.outbox.append((feed, bodies, key, idempotency_key, quiet, answer))
        if self.sender is None or self.sender.done():
            self.sender = self.start(self.send())
        return answer

    async def send(self):
        while self.outbox:
            await self.delay()
            *request, answer = self.outbox.pop(0)
            try:
                await self.raise_later("publish")
                ids, error = self.store.append(*request), None
            except Exception as failure:
                ids, error = None, failure
            self.start(self.answer(answer, ids, error))

    async def answer(self, answer, ids, error):
        await self.delay()
        if self.settled:
            await self.settle()
        if answer.done():
            return
        if error is None:
            answer.set_result(ids)
        else:
            answer.set_exception(error)

    async def settle(self, spare=8):
        """Wait until nothing is being loaded and all accepted events have been read."""
        quiet = 0
        while quiet < spare:
            busy = self.loading or any(self.inboxes.values())
            quiet = 0 if busy else quiet + 1
            await asyncio.sleep(0)

    # -- accepted events, in order

    def told(self, name, events):
        """The store has accepted events."""
        if name in self.feeds and name not in self.lose and not self.closed:
            inbox = self.inboxes.setdefault(name, [])
            inbox.append(list(events))
            if len(inbox) == 1:
                self.start(self.read(name))
        self.lose.discard(name)

    async def read(self, name):
        inbox = self.inboxes[name]
        while inbox:
            await self.delay()
            feed = self.feeds.get(name)
            if feed is not None and name not in self.loading and not self.closed:
                self.take(feed, inbox[0])
            # Events that come while the channel is being loaded are part of the loaded log.
            inbox.pop(0)

    def take(self, feed, events):
        if events and events[0].prev != feed.top:
            events = self.store.after(feed.name, feed.top)
        if events is None:
            self.load(feed)
        elif events:
            feed.accept(events)

    def load(self, feed):
        name = feed.name
        events = self.store.newest(name, feed.settings.backlog_length)
        # Clients that are already listening continue where the channel was.
        missed = self.store.after(name, feed.top) or []
        events = max(events, missed, key=len)
        floor = position(events[0].prev if events else self.store.top(name))
        kept = [event for event in self.store.kept(feed) if position(event.id) <= floor]
        feed.load(self.store.top(name), events, kept)

    # -- channels

    def open(self, feed):
        if not self.late:
            self.feeds[feed.name] = feed
            self.load(feed)

    def attach(self, feed):
        self.raise_at_once("attach")
        if not self.late:
            return
        timer = self.lingering.pop(feed.name, None)
        if timer is not None:
            timer.cancel()
        if self.feeds.get(feed.name) is not feed:
            self.feeds[feed.name] = feed
            self.loading.add(feed.name)
            self.start(self.load_late(feed))

    async def load_late(self, feed):
        await self.delay()
        try:
            while isinstance(self.failing.get("load"), Exception):
                feed.fail(self.failing["load"])
                await asyncio.sleep(0.01)
            while self.failing.get("load") == "never":
                await asyncio.sleep(0.01)
            if self.feeds.get(feed.name) is feed and not self.closed:
                self.loading.discard(feed.name)
                self.load(feed)
        finally:
            self.loading.discard(feed.name)

    def detach(self, feed):
        self.raise_at_once("detach")
        if not self.late:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.drop(feed)
        else:
            self.lingering[feed.name] = loop.call_later(self.linger, self.drop, feed)

    def drop(self, feed):
        timer = self.lingering.pop(feed.name, None)
        if timer is not None:
            timer.cancel()
        if self.feeds.get(feed.name) is feed:
            del self.feeds[feed.name]
        feed.unload()

    def forget(self, feed):
        self.raise_at_once("forget")
        if self.late:
            self.drop(feed)

    # -- questions

    def history(self, feed, cursor, limit):
        self.raise_at_once("history")
        return self.between(feed, cursor, limit)

    async def between(self, feed, cursor, limit):
        floor = feed.floor
        await self.raise_later("history")
        if (
            position(cursor) > position(feed.top)
            and self.store.after(feed.name, cursor) is not None
        ):
            # The cursor belongs to an event that is still on its way.
            self.take(feed, self.store.after(feed.name, feed.top))
        events = self.store.after(feed.name, cursor)
        ids = [] if events is None else [event.id for event in events]
        events = events[: ids.index(floor) + 1] if floor in ids else None
        await self.delay()
        return None if events is None or len(events) > limit else events

    def recall(self, channels, client_id):
        self.raise_at_once("recall")
        return self.place(channels, client_id) if self.late else None

    async def place(self, channels, client_id):
        await self.raise_later("recall")
        if self.presence is not None:
            reached = await self.presence.reached(channels, client_id)
            if reached:
                return reached
        cursor, until = self.store.places.get((channels, client_id), (None, 0))
        return cursor if now() < until else None

    def remember(self, channels, client_id, cursor, seconds):
        self.raise_at_once("remember")
        self.store.places[channels, client_id] = cursor, now() + seconds

    async def close(self):
        self.closed = True
        if self.presence is not None:
            self.presence.end()
        for timer in self.lingering.values():
            timer.cancel()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
