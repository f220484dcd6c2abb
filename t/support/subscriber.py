"""Clients of a `SubscribeHandler`, one for each transport, that are nothing but a socket."""

import asyncio
import base64
import itertools
import json
import os
import re
from dataclasses import dataclass
from urllib.parse import urlencode

from support.raw import RawClient
from support.wire import read_chunk, read_head


@dataclass
class Message:
    """An event or a gap as a client sees it. A long poll says no ids but the last."""

    data: object
    id: str | None = None
    channel: str | None = None
    gap: bool = False


class Ended(Exception):
    """The server ended this regularly; for a WebSocket with its code."""


class Refused(Exception):
    """The answer to a poll is no list of events. `head` is a `Reply`."""

    def __init__(self, head):
        super().__init__(head.line)
        self.head = head


class Subscriber:
    """One client. It goes on from its `cursor` at each `open`.

    Args:
        connect: an async function of a port that gives a `RawClient`.
        query: parameters of the URL.
    """

    streams = True
    between = re.compile(b"")
    """What may come after the last message."""
    beats = 0
    """Heartbeats so far."""
    retry = None
    """Milliseconds after which the server wants it to come back. Nothing comes after this is said
    but the end.
    """

    def __init__(self, port, path="/events/room", cursor=None, connect=None, headers=(), **query):
        self.port, self.path, self.cursor, self.query = port, path, cursor, query
        self.headers = dict(headers)
        self.connect = connect or RawClient.connect
        self.client = self.head = None

    async def open(self):
        """Connects and subscribes. Returns the head of the answer (`Reply`)."""
        self.leave()
        self.retry = None
        self.client = await self.connect(self.port)
        await self.request()
        self.head = await read_head(self.client)
        if self.head.status in (101, 200):
            self.cursor = self.head.headers.get("last-event-id", self.cursor)
            await self.begin()
        return self.head

    async def start(self):
        """Connects, if that is for longer than one answer."""
        if self.streams:
            await self.open()

    async def request(self, **fields):
        headers = {"Host": f"127.0.0.1:{self.port}"} | self.headers | fields
        if self.cursor:
            headers["Last-Event-ID"] = self.cursor
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        query = urlencode({"transport": self.transport} | self.query, doseq=True)
        await self.client.send(f"GET {self.path}?{query} HTTP/1.1\r\n{lines}\r\n".encode())

    async def begin(self):
        self._body = b""

    async def until(self, mark):
        """The body up to `mark`, without it."""
        while mark not in self._body:
            chunk = await read_chunk(self.client)
            if not chunk:
                assert self.between.fullmatch(self._body), "it ended in the middle of a message"
                raise Ended
            self._body += chunk
        part, self._body = self._body.split(mark, 1)
        return part

    async def read(self):
        """The next `Message`."""
        while True:
            over = self.retry is not None
            message = await self.next()
            assert not over, "the stream goes on after its end was announced"
            if message is not None:
                if message.id is not None:
                    self.cursor = message.id
                return message

    async def take(self, count):
        """The data of the next `count` messages, within a few seconds."""
        async with asyncio.timeout(10):
            return [(await self.read()).data for _ in range(count)]

    def read_place(self, value):
        """Takes a place, `{"id": ...}`; the last one of a stream is `{"id": ..., "retry": ...}`.
        Gives the cursor.
        """
        assert set(value) in ({"id"}, {"id", "retry"})
        assert isinstance(value["id"], str)
        if "retry" in value:
            assert value["id"]
            assert type(value["retry"]) is int
            assert value["retry"] > 0
            self.retry = value["retry"]
        return value["id"]

    def leave(self):
        if self.client is not None:
            self.client.close()
            self.client = None


def _message(value, id=None):
    """What one JSON value says, wherever it was."""
    if not isinstance(value, dict):
        return Message(value, id)
    if value.get("type") == "gap" and "after" in value:
        return Message(value, value["id"], value.get("channel"), True)
    if set(value) == {"channel", "data"}:
        return Message(value["data"], id, value["channel"])
    return Message(value, id)


class SSE(Subscriber):
    transport = "sse"

    between = re.compile(rb"(retry: \d+\n)*(:\n)*(retry: \d+\n)?")

    async def next(self):
        fields = {"data": []}
        for line in (await self.until(b"\n\n")).decode().split("\n"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                fields["data"].append(value)
            elif name:
                fields[name] = value
            else:
                self.beats += 1
        data = json.loads("\n".join(fields["data"]))
        if fields.get("event") == "cursor":
            self.cursor = self.read_place(data)
            assert self.cursor == fields["id"]
            # A browser reads the field, and a page the data.
            assert self.retry is None or fields["retry"] == str(self.retry)
            return None
        message = _message(data, fields["id"])
        assert message.gap == (fields.get("event") == "gap")
        assert message.id == fields["id"]
        self.event = fields.get("event")
        return message


class Enveloped(Subscriber):
    """What says the id in JSON."""

    def unwrap(self, text):
        value = json.loads(text)
        assert isinstance(value, dict)
        if "data" in value:
            return Message(value["data"], value["id"], value.get("channel"))
        if "id" not in value or "type" in value:
            return _message(value)
        self.place(self.read_place(value))
        return None

    def place(self, cursor):
        self.cursor = cursor


class NDJSON(Enveloped):
    transport = "ndjson"

    async def begin(self):
        await super().begin()
        self.fresh = True

    async def next(self):
        message = self.unwrap(await self.until(b"\n"))
        self.fresh = self.fresh and message is None
        return message

    def place(self, cursor):
        if "last-event-id" not in self.head.headers and self.fresh:
            # The log was not here yet when the stream began.
            self.cursor = cursor or self.cursor
        assert cursor in ("", self.cursor)
        self.beats += self.retry is None


class Multipart(Subscriber):
    transport = "multipart"

    async def begin(self):
        await super().begin()
        boundary = self.head.headers["content-type"].split('boundary="')[1].rstrip('"')
        self.mark = f"\n--{boundary}\n".encode()
        self._body = b"\n"
        assert await self.until(self.mark) == b""

    async def request(self, **fields):
        # A part says its id to who sent one.
        self.query.setdefault("last_event_id", "")
        await super().request(**fields)

    async def next(self):
        head, _, body = (await self.until(self.mark)).partition(b"\n\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\n"))
        if fields["Content-Type"] == "application/x-heartbeat":
            self.beats += 1
            return None
        return _message(json.loads(body), fields["Last-Event-ID"])


class WebSocket(Enveloped):
    transport = "websocket"

    async def request(self, **fields):
        key = base64.b64encode(os.urandom(16)).decode()
        upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": key}
        await super().request(**upgrade, **{"Sec-WebSocket-Version": "13"})

    async def next(self):
        first, size = await self.client.read_exactly(2)
        if size > 125:
            size = int.from_bytes(await self.client.read_exactly(2 if size == 126 else 8))
        data = await self.client.read_exactly(size)
        if first == 0x88:
            raise Ended(int.from_bytes(data[:2]))
        if first == 0x89:
            self.beats += 1
            return None
        assert first == 0x81
        return self.unwrap(data)

    async def send(self, opcode, data=b""):
        """Sends a frame."""
        mask = os.urandom(4)
        masked = bytes(byte ^ key for byte, key in zip(data, itertools.cycle(mask), strict=False))
        size = len(data)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2)
        await self.client.send(bytes([0x80 | opcode]) + length + mask + masked)


class LongPoll(Subscriber):
    transport = "long-poll"
    streams = False

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.batch = []

    async def begin(self):
        body = await self.client.read_exactly(int(self.head.headers["content-length"]))
        self.batch = [_message(value) for value in json.loads(body)]
        if self.batch:
            self.batch[-1].id = self.cursor

    async def next(self):
        if not self.batch:
            await self.open()
            if self.head.status != 200:
                raise Refused(self.head)
            await asyncio.sleep(0)
        return self.batch.pop(0) if self.batch else None


class IntervalPoll(LongPoll):
    transport = "interval-poll"

    async def next(self):
        if not self.batch:
            # The pause between two questions.
            await asyncio.sleep(0.005)
        return await super().next()


CLIENTS = {
    kind.transport: kind for kind in (SSE, WebSocket, NDJSON, Multipart, LongPoll, IntervalPoll)
}
"""All transports, by their name in ``?transport=``."""
STREAMS = [name for name, kind in CLIENTS.items() if kind.streams]


async def read_to_end(client):
    """The data of all events until the server ends the stream, regularly."""
    received = []
    try:
        while True:
            received.append((await client.read()).data)
    except Ended:
        return received
