"""A channel, as an engine sees it, that records the calls that the engine makes."""

import asyncio

from tatsumaki_py.message_queue.log import EventLog
from tatsumaki_py.message_queue.settings import ChannelSettings, settings_of


def bodies(*numbers):
    """The bodies of events with these numbers, in the form that an engine gets."""
    return [b'{"n":%d}' % n for n in numbers]


def numbers(events):
    """The numbers in these events."""
    return [event.event()["n"] for event in events]


async def answer(awaitable):
    """What `history` or `recall` returned: None, or the result of its awaitable."""
    return None if awaitable is None else await asyncio.wait_for(awaitable, 5)


class Feed:
    """See `tatsumaki_py.message_queue.engine.Feed`."""

    def __init__(self, name, settings):
        self.name = name
        self.settings = settings_of(ChannelSettings, settings)
        self.log = EventLog(name, start="0-0")
        self.beside = 0
        self.loads = self.unloads = 0
        self.told = []
        """The numbers of the accepted events, one list per call of `accept`."""
        self.failures = []

    @property
    def top(self):
        return self.log.top

    @property
    def floor(self):
        return self.log.floor

    @property
    def behind(self):
        return self.log.top

    def reserve(self):
        pass

    def load(self, top, events, kept=()):
        self.log.restart(top, events, 0.0, kept)
        self.loads += 1

    def fail(self, error):
        self.failures.append(error)

    def unload(self):
        self.unloads += 1

    def accept(self, events):
        for event in events:
            self.log.append(event)
        self.told.append(numbers(events))

    # -- for the tests

    @property
    def newcomer(self):
        """The numbers of the events that a new client gets."""
        return numbers(self.log.since(*self.log.newcomer(self.settings.backlog_length)))

    @property
    def entries(self):
        """All events of the log."""
        return self.log.newest(10**9)

    @property
    def numbers(self):
        """The numbers of all events of the log."""
        return numbers(self.entries)

    async def until(self, condition):
        """Wait until `condition()` is true; fails after about 5 s."""
        for _ in range(1000):
            if condition():
                return
            await asyncio.sleep(0.005)
        raise AssertionError(f"{condition} did not become true: {self.numbers}")

    async def has(self, *expected):
        """Wait until exactly these events are in the log."""
        await self.until(lambda: self.numbers == [*expected])


class Clients:
    """See `tatsumaki_py.message_queue.engine.Clients`."""

    def __init__(self):
        self.places = {}
        """The places of the clients in this process, by channels and name."""
        self.taken, self.left, self.received, self.again = [], [], [], []
        self.hooks = {"", "app.Events"}

    def take(self, channels, client_id):
        self.taken.append((channels, client_id))
        return self.places.pop((channels, client_id), "")

    def place(self, channels, client_id):
        return self.places.get((channels, client_id), "")

    def count(self, channels):
        return sum(key[0] == channels for key in self.places)

    def calls(self, hook):
        return hook in self.hooks

    def gone_elsewhere(self, channels, client_id, hook):
        self.left.append((channels, client_id, hook))

    def present_again(self, channels, client_id):
        self.again.append((channels, client_id))

    def receive(self, message):
        self.received.append(message)
