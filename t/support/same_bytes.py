"""The same bytes, in the same pieces, to two servers: what did each of them make of it?"""

import asyncio
import contextlib
import re
import socket
from dataclasses import dataclass, field, replace

from tornado.netutil import bind_unix_socket
from tornado.web import Application, RequestHandler, stream_request_body

# Iterations of the loop. A piece was read, and what it asks for was done.
READ = 8
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
    """What a server made of some bytes."""

    seen: list = field(default_factory=list)
    # The status codes.
    answers: list = field(default_factory=list)
    # How often it said 100 Continue.
    continues: int = 0
    open: bool = True


def first_difference(one, other):
    """How the outcomes of two servers begin to differ, as two words: what each server did.

    "answered", "refused" (by the server), "closed" (without an answer), "waits" (for more), or, if
    both have answered the same request, what of it they saw, as "uri=/x". None if they agree.
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
    # It is a matter of time how much of a body a handler gets that is never complete.
    short, long = sorted([one.body, other.body], key=len)
    return long.startswith(short) and replace(one, body=b"") == replace(other, body=b"")


def _word(outcome, number):
    if number < len(outcome.answers):
        status = outcome.answers[number]
        # No handler of this application answers with these.
        return "refused" if status in (400, 413, 431) else f"answered {status}"
    if number > len(outcome.answers):
        return ""
    return "waits" if outcome.open else "closed"


class Echo(RequestHandler):
    """Takes any request."""

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
    """Takes the bodies of requests as they come."""

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
    """One of the two servers, and the only client that it has."""

    def __init__(self, make_server, path):
        self.outcome = Outcome()
        self._path = str(path)
        self._seen = []
        rules = [("/stream.*", Stream, {"seen": self._seen}), (".*", Echo, {"seen": self._seen})]
        self._server = make_server(Application(rules))
        self._server.add_socket(bind_unix_socket(self._path))

    def connect(self):
        """A new connection. Its first bytes are the next ones."""
        self._seen.clear()
        self.outcome = Outcome()
        self._received = b""
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.setblocking(False)
        self._sock.connect(self._path)

    def send(self, data):
        """Unless the server has closed the connection."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            assert self._sock.send(data) == len(data)

    def receive(self):
        """Whether there was something."""
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
    """Two servers in one loop."""

    def __init__(self, *sides):
        self.sides = sides

    async def send(self, pieces, half_close=""):
        """The outcomes of a connection. With `half_close`, the client closes its side: "early",
        together with the last piece, or "late", after the answers.
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
        # The servers notice it, so the next example begins with a clean log.
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
        assert match, f"the server sent no answer, but {data!r}"
        status = int(match[1])
        data = data[match.end() :]
        statuses.append(status)
        if status == 100:
            continue
        # 400 is the server's own answer, which belongs to no request of the application.
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)\r\n", b"\r\n" + match[2])
        if length and next(methods, None) != "HEAD":
            assert len(data) >= int(length[1]), "an answer is shorter than its length"
            data = data[int(length[1]) :]
    return statuses
