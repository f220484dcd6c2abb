"""Serves the module, a page that uses the module, and channels; tests use `/control/...`."""

import asyncio
import collections
import contextlib
import os
import socket
import stat
from pathlib import Path
from typing import ClassVar

import tornado.web

from tatsumaki_py import (
    Application,
    Error,
    Handler,
    MessageQueue,
    PublishHandler,
    Server,
    SubscribeHandler,
    TatsumakiJS,
    TicketedHandler,
    WebSocketHandler,
)
from tatsumaki_py.message_queue import State
from tatsumaki_py.push.framing import server_sent_events
from tatsumaki_py.server import drain

asked = collections.defaultdict(list)  # channel: [transport, cursor] of each request for events


class Events(SubscribeHandler):
    muted = 0  # how often all open streams were muted: from then on, they send nothing

    def prepare(self):
        channel, *_ = [*self.path_args, ""]
        asked[channel].append([self.request.param("transport"), self.request.last_event_id or ""])
        self.made = Events.muted

    def stream_write(self, chunk):
        if self.made == Events.muted:
            return super().stream_write(chunk)
        return asyncio.get_running_loop().create_future()


class Refusing(Events):
    """Refuses each client, as if the user had logged out."""

    def can_subscribe(self, channel):
        return False


class Lively(Events):
    heartbeat_interval = 0.05


class NoMore(Events):
    """Answers with 204, as a server that has nothing more to send."""

    def prepare(self):
        super().prepare()
        self.set_status(204)
        self.finish()


class HeldBack(Events):
    """Acts as a proxy that passes on the head of a stream, but holds back the body."""

    def prepare(self):
        super().prepare()
        self.made = None


class Stuck(Events):
    """Acts as a proxy that also holds back the head of an SSE stream."""

    async def get(self, *args):
        if self.request.param("transport") == "sse":
            await asyncio.Event().wait()
        await super().get(*args)


class LastNumber(Handler):
    """Sends the state of a page: the number of the last event, or 0.

    With `?wait=1`, the answer waits for `release`.
    """

    held: ClassVar = collections.Counter()
    released: ClassVar = collections.defaultdict(asyncio.Event)

    async def get(self, channels):
        queue = MessageQueue.instance(*channels.split("+"))
        state = {"lastEventId": queue.cursor(), "n": 0}
        if isinstance(queue, MessageQueue) and queue.backlog_events:
            state["n"] = queue.backlog_events[-1]["n"]
        if self.request.param("wait"):
            LastNumber.held[channels] += 1
            await LastNumber.released[channels].wait()
        self.write(state)


class Plain(Handler):
    """A custom stream whose messages are not JSON and have no ids."""

    asynchronous = True

    async def get(self):
        self.server_sent_events(True)
        for text in ("one", "two"):
            await self.stream_write(text)
        await asyncio.sleep(60)  # otherwise, the handler would be collected


class Own(Handler):
    """A custom stream: one message without an id precedes each event, and two follow it."""

    async def get(self, channel):
        streams = {
            "sse": self.server_sent_events,
            "ndjson": self.json_lines,
            "multipart": self.multipart_xhr_push,
        }
        streams[self.request.param("transport")](True)
        async for events in MessageQueue.instance(channel).poll(None):
            for event in events:
                for message in ({"no": 1}, event, {"no": 2}, {"no": 3}):
                    await self.stream_write(message)


class Places(Handler):
    """A stream that also sends cursors: empty ones, an old one and that of its last event."""

    BODIES: ClassVar = {
        "ndjson": '{"id": ""}\n{"id": "2-0", "data": {"n": 1}}\n'
        '{"id": "1-0"}\n{"id": ""}\n{"id": "2-0"}\n"end"\n',
        "sse": 'event: cursor\ndata: {"id": ""}\n\nid: 2-0\ndata: {"n": 1}\n\n'
        'id: 1-0\nevent: cursor\ndata: {"id": "1-0"}\n\n:\n'
        'id: 2-0\nevent: cursor\ndata: {"id": "2-0"}\n\ndata: end\n\n',
    }
    TYPES: ClassVar = {"ndjson": "application/x-ndjson", "sse": "text/event-stream"}

    async def get(self):
        transport = self.request.param("transport")
        self.set_header("Content-Type", self.TYPES[transport])
        self.write(self.BODIES[transport])
        await self.flush()
        await asyncio.sleep(60)


class Leaving(Handler):
    """A stream from a server that is stopping: it sends a delay, and ends."""

    BODIES: ClassVar = {
        "ndjson": '{"id": "1-0", "data": 1}\n{"id": "1-0", "retry": 9000}\n',
        "sse": 'id: 1-0\ndata: 1\n\nevent: cursor\ndata: {"id": "1-0", "retry": 9000}\n\n',
        "interval-poll": "[1]",
        "long-poll": "[]",
    }

    def get(self):
        transport = self.request.param("transport")
        self.set_header("Content-Type", Places.TYPES.get(transport, "application/json"))
        if transport == "long-poll":
            self.set_header("Retry-After", "9")
        self.write(self.BODIES[transport])


class Empty(Handler):
    """Answers as a proxy does while the server restarts."""

    def get(self):
        self.set_header("Content-Type", "text/event-stream")
        self.write("retry: 3000\n")


class LoggedOut(WebSocketHandler):
    """Closes each connection with 4403, after which clients must not reconnect."""

    def open(self):
        self.close(4403, "logged out")


class Ticketed(TicketedHandler, Events):
    poll_timeout = 0.2


class Tickets(Handler):
    """Creates a ticket that is valid for the seconds in the parameter `seconds`."""

    given: ClassVar = collections.Counter()

    def get(self, channel):
        Tickets.given[channel] += 1
        seconds = self.request.param("seconds")
        if seconds is None:
            Error.HTTP.throw(500)
        self.write(self.create_ticket([channel], float(seconds), group=channel))


class Bytes(Handler):
    """A multipart stream that arrives byte by byte, and stops before the end of a part."""

    BODY = (
        "--B\n"
        'Content-Type: application/json\nLast-Event-ID: 1-0\n\n{"n":"ä\\n--B\\n漢🎈"}\n--B\n'
        "Content-Type: application/x-heartbeat\n\n\n--B\n"
        'content-type:application/json\n\n{"n":2}\n--B\n'
        'Content-Type: application/json\nLast-Event-ID: 3-0\n\n{"n":3}\n--'
    )

    async def get(self):
        self.set_header("Content-Type", 'multipart/mixed; boundary="B"')
        for byte in self.BODY.encode():
            self.write(bytes([byte]))
            await self.flush()
            await asyncio.sleep(0.001)
        await asyncio.sleep(60)


class Control(tornado.web.RequestHandler):
    flow = None

    def get(self, what, channel):
        queue = MessageQueue.instance(channel)
        self.write({"result": getattr(self, what)(queue)})

    def asked(self, queue):
        return asked[queue.channel]

    def listening(self, queue):
        """The number of clients that are listening to the channel."""
        return sum(client.state is State.LISTENING for client in queue.clients.values())

    def tickets(self, queue):
        """The number of tickets that were requested for the channel."""
        return Tickets.given[queue.channel]

    def disconnect(self, queue):
        """Ends the channel's connections with tickets, and revokes the tickets."""
        return Ticketed.disconnect(queue.channel)

    def clients(self, queue):
        return list(queue.clients)

    def cursor(self, queue):
        return queue.cursor()

    def start(self, queue):
        """Publishes {"n": 1}, {"n": 2}, ... until `stop`."""
        if Control.flow is not None:
            Control.flow.cancel()
        Control.count = 0

        async def publish():
            while True:
                for _ in range(3):
                    Control.count += 1
                    queue.publish({"n": Control.count})
                await asyncio.sleep(0.005)

        Control.flow = asyncio.create_task(publish())

    def stop(self, queue):
        Control.flow.cancel()
        return Control.count

    def end(self, queue):
        return queue.end().result()

    def lose(self, queue):
        """Makes the channel keep only one event."""
        queue.backlog_length = queue.buffer_length = 1

    def held(self, queue):
        return LastNumber.held[queue.channel]

    def release(self, queue):
        LastNumber.released[queue.channel].set()

    def mute(self, queue):
        Events.muted += 1

    def cut(self, queue):
        """Cuts all connections except that of this request, without an HTTP answer."""
        own = self.request.connection.stream.socket.fileno()
        for fd in {int(name) for name in os.listdir("/proc/self/fd")} - {own}:
            with contextlib.suppress(OSError):
                # Python would not close a duplicate of a descriptor that is not a socket.
                if not stat.S_ISSOCK(os.fstat(fd).st_mode):
                    continue
                with socket.socket(fileno=os.dup(fd)) as sock:
                    listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                    if sock.family == socket.AF_INET and not listens:
                        sock.shutdown(socket.SHUT_RDWR)


class Page(Handler):
    def get(self):
        self.render("page.html")


app = Application(
    [
        ("/", Page),
        (r"/(tatsumaki\.js)", TatsumakiJS),
        (r"/events/(\w+)", Events),
        (r"/state/([\w+]+)", LastNumber),
        (r"/refused/(\w+)", Refusing),
        (r"/lively/(\w+)", Lively),
        (r"/no-more/(\w+)", NoMore),
        (r"/held-back/(\w+)", HeldBack),
        (r"/stuck/(\w+)", Stuck),
        ("/events", Events),
        ("/plain", Plain),
        (r"/own/(\w+)", Own),
        ("/places", Places),
        ("/leaving", Leaving),
        ("/empty", Empty),
        ("/logged-out", LoggedOut),
        ("/bytes", Bytes),
        (r"/ticketed/(\w+)", Ticketed),
        (r"/tickets/(\w+)", Tickets),
        ("/publish/(.*)", PublishHandler),
        ("/control/(.*)/(.*)", Control),
    ],
    template_path=Path(__file__).parent,
    cookie_secret="a secret of the tests",
)

# Long logs: the events that a page misses while it is disconnected must not be dropped.
MessageQueue.backlog_length = MessageQueue.buffer_length = 10_000

# An EventSource of the tests waits only for a moment before it reconnects.
server_sent_events.RETRY = 100, 200

# Clients that reconnect per second: a low rate spreads even the few clients of a test.
drain.RETURNS = float(os.environ.get("RETURNS", drain.RETURNS))

if __name__ == "__main__":
    Server().run(app)
