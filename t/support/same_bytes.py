"""Sends the same bytes, in the same pieces, to two servers, and compares what they do."""

import asyncio
import contextlib
import re
import socket
from dataclasses import dataclass, field, replace

from tornado.netutil import bind_unix_socket
from tornado.web import Application, RequestHandler, stream_request_body

# Iterations of the loop after which a server has read a piece and answered.
READ = 8
# Iterations without an answer after which no more bytes are expected.
QUIET = 30

STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]+\r\n((?:[^\r\n]+\r\n)*)\r\n")


@dataclass
class Seen:
    """A request, as the application saw it."""

    method: str
    uri: str
    version: str
    headers: list
    body: bytes = b""
    end: str = "complete"


@dataclass
class Outcome:
    """What a server did with some bytes."""

    seen: list = field(default_factory=list)
    # The status codes of the answers.
    answers: list = field(default_factory=list)
    # How often the server sent 100 Continue.
    continues: int = 0
    open: bool = True


def first_difference(one, other):
    """The first difference between the outcomes of two servers, as one word for each server.

    The words are "answered" with the status, "refused" (by the server), "closed" (without an
    answer) or "waits" (for more bytes). If both servers did the same, but their applications saw
    the request differently, each word says what was seen, such as "uri=/x". None if they agree.
    """
    for number in range(max(len(one.answers), len(other.answers)) + 1):
        words = _word(one, number), _word(other, number)
        if words[0] != words[1]:
            return words
        pair = [side.seen[number] if number < len(side.seen) else None for side in (one, other)]
        if not _same(*pair):
            if None in pair:
                return tuple("unseen" if seen is None else f"seen {seen.end}" for seen in pair)
            name = next(
                name for name, value in vars(pair[0]).items() if value != getattr(pair[1], name)
            )
            return tuple(f"{name}={getattr(seen, name)}" for seen in pair)
    if one.continues != other.continues:
        return tuple(f"continues={side.continues}" for side in (one, other))
    return None


def _same(one, other):
    if None in (one, other) or not one.end == other.end == "closed":
        return one == other
    # How much of an incomplete body a handler gets depends on timing.
    short, long = sorted([one.body, other.body], key=len)
    return long.startswith(short) and replace(one, body=b"") == replace(other, body=b"")


def _word(outcome, number):
    if number < len(outcome.answers):
        status = outcome.answers[number]
        # No handler of this application answers with these statuses.
        return "refused" if status in (400, 413, 431) else f"answered {status}"
    if number > len(outcome.answers):
        return ""
    return "waits" if outcome.open else "closed"


class Echo(RequestHandler):
    """Records any request, and answers with its method."""

    def initialize(self, seen):
        request = self.request
        self.seen = Seen(
            request.method,
            request.uri,
            request.version,
            list(request.headers.get_all()),
            request.body,
        )
        seen.append(self.seen)

    def answer(self):
        self.write(self.request.method)

    get = head = post = put = delete = patch = options = answer


@stream_request_body
class Stream(Echo):
    """Records the bodies of requests piece by piece, as they arrive."""

    def initialize(self, seen):
        super().initialize(seen)
        self.seen.end = "none"

    def data_received(self, chunk):
        self.seen.body += chunk

    def answer(self):
        self.seen.end = "complete"
        super().answer()

    def on_connection_close(self):
        super().on_connection_close()
        self.seen.end = "closed"

    get = head = post = put = delete = patch = options = answer


class Side:
    """One of the two servers, with its only client."""

    def __init__(self, make_server, path):
        self.outcome = Outcome()
        self._path = str(path)
        self._seen = []
        rules = [("/stream.*", Stream, {"seen": self._seen}), (".*", Echo, {"seen": self._seen})]
        self._server = make_server(Application(rules))
        self._server.add_socket(bind_unix_socket(self._path))

    def connect(self):
        """Opens a new connection, and forgets what was seen and received before."""
        self._seen.clear()
        self.outcome = Outcome()
        self._received = b""
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.setblocking(False)
        self._sock.connect(self._path)

    def send(self, data):
        """Sends `data`, unless the server has closed the connection."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            assert self._sock.send(data) == len(data)

    def receive(self):
        """Reads what has arrived; returns whether there were bytes or the end."""
        if not self.outcome.open:
            return False
        try:
            data = self._sock.recv(1 << 20)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            data = b""
        self.outcome.open = bool(data)
        self._received += data
        return True

    def half_close(self):
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def take(self):
        """The outcome so far."""
        self.outcome.seen = [Seen(**vars(seen)) for seen in self._seen]
        statuses = read_answers(self._received, self._seen)
        self.outcome.answers = [status for status in statuses if status != 100]
        self.outcome.continues = statuses.count(100)
        return self.outcome

    def close(self):
        self._sock.close()

    async def stop(self):
        self._server.stop()
        await self._server.close_all_connections()


class SameBytes:
    """Two servers in one loop, which get the same bytes."""

    def __init__(self, *sides):
        self.sides = sides

    async def send(self, pieces, half_close=""):
        """Sends `pieces` to both servers, and returns their outcomes.

        With `half_close`, the client closes its side of the connection: "early", together with the
        last piece, or "late", after the answers.
        """
        for side in self.sides:
            side.connect()
        for piece in pieces:
            for side in self.sides:
                side.send(piece)
                if half_close == "early" and piece is pieces[-1]:
                    side.half_close()
            for _ in range(READ):
                await asyncio.sleep(0)
        await self._quiet()
        if half_close == "late":
            for side in self.sides:
                side.half_close()
            await self._quiet()
        outcomes = [side.take() for side in self.sides]
        for side in self.sides:
            side.close()
        # The servers notice the end now, so that the next example begins with an empty log.
        for _ in range(READ):
            await asyncio.sleep(0)
        return outcomes

    async def _quiet(self):
        quiet = 0
        while quiet < QUIET:
            await asyncio.sleep(0)
            received = [side.receive() for side in self.sides]
            quiet = 0 if any(received) else quiet + 1


def read_answers(data, seen):
    """The status codes in what a server sent. Fails if there is anything else."""
    statuses = []
    methods = iter([one.method for one in seen])
    while data:
        match = STATUS.match(data)
        assert match, f"not an answer: {data!r}"
        status = int(match[1])
        data = data[match.end() :]
        statuses.append(status)
        if status == 100:
            continue
        # A 400 may be the answer of the server, to a request that the application did not see.
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)\r\n", b"\r\n" + match[2])
        if length and next(methods, None) != "HEAD":
            assert len(data) >= int(length[1]), "an answer is shorter than its Content-Length"
            data = data[int(length[1]) :]
    return statuses
