"""Handlers with streams that a test writes to, or that get the events of the channel "room"."""

from tatsumaki_py import Handler, MessageQueue


class Pushing(Handler):
    """Stays open, and counts the calls of `on_finish` and `on_connection_close`."""

    asynchronous = True
    max_buffer = 200_000

    def initialize(self, made):
        made.append(self)
        self.finished = self.closed = 0

    def prepare(self):
        self.max_buffer = int(self.request.param("buffer", self.max_buffer))

    def get(self):
        pass

    def on_finish(self):
        self.finished += 1

    def on_connection_close(self):
        self.closed += 1


class Subscribing(Pushing):
    """A multipart stream of the channel "room"."""

    def get(self):
        self.multipart_xhr_push(True)
        MessageQueue.instance("room").poll(self.request.param("id"), self.on_event)

    def on_event(self, *events):
        for event in events:
            self.stream_write(event)


class Reading(Subscribing):
    """A multipart stream of the channel "room" that reads the log itself."""

    def get(self):
        self.multipart_xhr_push(True)
        MessageQueue.instance("room").poll(self.request.param("id"), self.stream_write)


class Awaiting(Subscribing):
    """A multipart stream of the channel "room" whose callback awaits each write."""

    def initialize(self, made):
        super().initialize(made)
        self.calls = []

    async def on_event(self, *events):
        self.calls.append([event["n"] for event in events])
        for event in events:
            await self.stream_write(event)
