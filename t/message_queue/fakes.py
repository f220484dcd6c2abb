"""Test doubles for subscribers, which need no socket."""

import asyncio

from tatsumaki_py.done import DONE


def numbers(events):
    """The `n` of each event, or "gap" for a gap."""
    return ["gap" if event.gap else event["n"] for event in events]


def events(*numbers):
    """An event to publish for each number."""
    return [{"n": n} for n in numbers]


class Taker:
    """A callback that records the numbers of its events."""

    def __init__(self):
        self.calls = []

    def __call__(self, *events):
        self.calls.append(numbers(events))

    @property
    def seen(self):
        """The numbers of all calls in one list."""
        return [n for call in self.calls for n in call]


class FakePeer:
    """A `Peer`, which stands in for a handler. `on_new_event` is its callback."""

    def __init__(self, cursor=None):
        self.cursor = cursor
        self.unsent, self.in_doubt = None, False
        self.gone = self.finished = False
        self.watchers, self.places = {}, {}
        self.failures = []
        self.calls = []
        self.told = []
        """The cursors that it is told, and the numbers of each call of its callback, in order."""

    def on_new_event(self, *events):
        self.calls.append(numbers(events))
        self.told.append(self.calls[-1])

    def answer(self, *events):
        """A callback for a long poll whose answer is complete immediately."""
        self.on_new_event(*events)
        self.complete()

    def leave(self, lost=False):
        """The client leaves before its answer is complete."""
        self.gone = True
        self._dismiss("left", lost)

    def complete(self):
        """Complete the answer."""
        self.finished = True
        self._dismiss("served")

    def _dismiss(self, how, *args):
        watchers, self.watchers = self.watchers, {}
        for watcher in watchers:
            getattr(watcher, how)(*args)

    def _peer_cursor(self):
        return self.cursor

    def _peer_place(self, log, name):
        return self.places.get((log, name))

    def _peer_given(self, log, name, cursor):
        self.places[log, name] = cursor

    def _peer_at(self, cursor):
        self.told.append(cursor)

    def _peer_watch(self, watcher):
        if self.gone or self.finished:
            return False
        self.watchers[watcher] = None
        return True

    def _peer_unwatch(self, watcher):
        self.watchers.pop(watcher, None)

    def _peer_left(self):
        return self.gone or self.finished

    def _peer_over(self):
        return self.finished and not self.gone

    def _peer_failed(self, error):
        self.failures.append(error)

    def _peer_finish(self):
        if not self.finished:
            self.complete()

    def _peer_room(self):
        return 1000

    def _peer_drain(self):
        return DONE

    def _peer_in_doubt(self):
        return self.in_doubt

    def _peer_unsent(self, channel):
        return self.unsent

    def _peer_reads(self, callback):
        return False


async def turn(times=5):
    """Let the tasks that are ready run."""
    for _ in range(times):
        await asyncio.sleep(0)
