"""A log without a queue, which streams read themselves; and the owner of such a stream."""

import socket

from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.message_queue.lead import LeadIn
from tatsumaki_py.message_queue.log import EventLog
from tatsumaki_py.push.framing.json_lines import JSONLines
from tatsumaki_py.push.reading import Reading
from tatsumaki_py.push.sockets import SocketStream


def cursor(count):
    """The cursor after `count` events."""
    return f"{count + 1}-0"


class Feed:
    """A `tatsumaki_py.message_queue.peer.Readable`, whose events are numbered starting at 1."""

    name = "feed"

    def __init__(self):
        self.log = EventLog(self.name, start=cursor(0))
        self.readers = {}
        self.count = 0

    @property
    def top(self):
        return self.log.top

    def publish(self, *sizes, quiet=False):
        """Publish an event for each of `sizes`, with a text of that many characters."""
        for size in sizes or (1,):
            self.count += 1
            body = b'{"n":%d,"text":"%b"}' % (self.count, b"x" * size)
            id, prev = cursor(self.count), self.top
            self.log.append(Entry(body, id, prev, channel=self.name, quiet=quiet))
        for reader in self.readers.values():
            reader.follow()

    def trim(self, count):
        """Keep the newest `count` events."""
        self.log.trim(count, count, float("inf"))


class Reader:
    """Owns one stream of a feed over a pair of sockets; the test reads at the other end."""

    heartbeat_interval = max_stream_time = None
    _stream_began = 0.0

    def __init__(self, feed, place, *, quiet=False, max_buffer=4000, buffer=None, framing=None):
        ours, self.client = socket.socketpair()
        for sock in (ours, self.client):
            sock.setblocking(False)
            if buffer is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        self.lost = None
        self.late = []
        self.stream = SocketStream(ours, framing or JSONLines.of(), max_buffer, self)
        new = quiet and place != feed.top
        self.reading = Reading(feed, place, LeadIn(place, feed.top) if new else None)
        self.reading.begin(self.stream)

    def _stream_closed(self, lost):
        self.lost = lost
        self.reading.stop()

    def _stream_expired(self, retry):
        return False

    def _stream_cursor(self):
        return ""

    def _stream_blocked(self, blocked):
        pass

    def _stream_reads(self, place):
        self.late.append(place)

    def read(self, size=1 << 20):
        """The bytes that have arrived for the client."""
        try:
            return self.client.recv(size)
        except (BlockingIOError, ConnectionError):
            return b""
