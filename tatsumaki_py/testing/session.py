"""One client of a push handler: its connection, its cursor and its messages.

Rules:
1. The cursor moves when a message, or the whole answer to a poll, has been read: a client that
   loses its connection before that requests the same events again.
2. Nothing is read ahead.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import suppress

from tatsumaki_py.testing.attempt import Attempt
from tatsumaki_py.testing.connection import Connection
from tatsumaki_py.testing.message import BadAnswer, Ended, Message, Refused
from tatsumaki_py.testing.readers import READERS
from tatsumaki_py.testing.readers.reader import Reader
from tatsumaki_py.testing.readers.websocket import frame
from tatsumaki_py.testing.reply import Reply, read_body, read_head
from tatsumaki_py.testing.target import Target

__all__ = ["Session"]

TEXT = 0x1
LISTED = 10
"""The number of connections that the message of a failed test lists."""


class Session:
    """The part of a `Subscriber` that connects and reads, step by step."""

    def __init__(
        self, target: Target, transport: str | Sequence[str], cursor: str | None, remembers: bool
    ) -> None:
        self._target = target
        self.transports: tuple[str, ...] = ()
        """The transports of successive connections."""
        self._use(transport)
        self.cursor = cursor
        """The id of the last event that was read; before any event, the cursor at which the stream
        began.
        """
        self.remembers = remembers
        """Whether the client sends its cursor when it reconnects."""
        self.connections: list[Attempt] = []
        """The messages of each connection."""
        self.connection: Connection | None = None
        """The open connection."""
        self.head: Reply | None = None
        """The head of the last answer."""
        self.retry: int | None = None
        """Milliseconds after which the server asked the client to reconnect; None if it has not
        asked.
        """
        self.ended = False
        """Whether the channel has ended."""
        self.unread: list[Message] = []
        """Messages of a poll or of `follow` that have not been taken yet."""
        self._reader: Reader | None = None
        self._attempt: Attempt | None = None
        self._beats = 0
        self._subscribed = False

    def _use(self, transport: str | Sequence[str]) -> None:
        self.transports = (transport,) if isinstance(transport, str) else tuple(transport)
        for name in self.transports:
            if name not in READERS:
                raise ValueError(f"transport must be one of {', '.join(READERS)}, not {name!r}")
        self._turns = itertools.cycle(self.transports)

    @property
    def transport(self) -> str:
        """The transport of the current connection; without one, that of the first connection."""
        return self.transports[0] if self._attempt is None else self._attempt.transport

    @property
    def streams(self) -> bool:
        """Whether the `transport` is a stream rather than a poll."""
        return READERS[self.transport].streams

    @property
    def messages(self) -> list[Message]:
        """All received messages, over all connections."""
        return [message for attempt in self.connections for message in attempt.messages]

    @property
    def heartbeats(self) -> int:
        """The number of received heartbeats."""
        return self._beats + (0 if self._reader is None else self._reader.heartbeats)

    def __repr__(self) -> str:
        return f"<Subscriber {'/'.join(self.transports)} {self.url} {self.params}>"

    @property
    def url(self) -> str:
        """The URL to subscribe to; a change takes effect with the next request."""
        return self._target.url

    @url.setter
    def url(self, url: str) -> None:
        self._target.url = url

    @property
    def params(self) -> dict[str, str | Sequence[str]]:
        """The parameters of the URL; a change takes effect with the next request."""
        return self._target.params

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the requests; a change takes effect with the next request."""
        return self._target.headers

    def _failed(self, problem: str) -> AssertionError:
        attempts = [f"  {attempt}" for attempt in self.connections]
        if len(attempts) > LISTED:
            attempts[:-LISTED] = [f"  ... {len(attempts) - LISTED} earlier connections"]
        return AssertionError("\n".join([problem, f"of {self!r}", *attempts]))

    # -- a connection

    def _begin(self) -> None:
        if self.connections and not self.remembers:
            self.cursor = None
        self._attempt = Attempt(len(self.connections) + 1, next(self._turns), self.cursor)
        self.connections.append(self._attempt)
        self.retry = None
        self.ended = False

    def _drop(self, end: str, reset: bool = False) -> None:
        if self._attempt is not None and self._attempt.end == "open":
            self._attempt.end = end
        self._attempt = None
        self._hang_up(reset)

    def _hang_up(self, reset: bool = False) -> None:
        if self._reader is not None:
            self._beats, self._reader = self.heartbeats, None
        if self.connection is not None:
            self.connection.reset() if reset else self.connection.close()
            self.connection = None

    # -- one request and its answer

    async def _start(self) -> None:
        """Connect and subscribe. A poll connects only when it is read."""
        self._begin()
        if not self.streams:
            return
        try:
            await self._ask()
            await self._check()
        except Ended:
            self._note("ended by the server")
            raise
        except (EOFError, OSError) as error:
            self._note(f"lost ({type(error).__name__})")
            raise
        except Refused as refused:
            self._note(f"refused ({refused})")
            raise

    async def _request(self) -> Connection:
        assert self._attempt is not None
        self._hang_up()
        transport = self._attempt.transport
        kind = READERS[transport]
        self.connection = await self._target.request(transport, kind, self.cursor)
        return self.connection

    async def _ask(self) -> Reply:
        await self._request()
        return await self._answer()

    async def _answer(self) -> Reply:
        connection = self.connection
        assert self._attempt is not None
        assert connection is not None
        self.head = head = await read_head(connection)
        if head.status in (101, 200):
            reader = READERS[self._attempt.transport](connection)
            await reader.begin(head)
            # No await from here on, so that a message that has moved the cursor is not lost.
            self._reader = reader
            self._subscribed = True
            self.cursor = reader.cursor or self.cursor
            for message in reader.batch:
                self._add(message)
            self.unread += reader.batch
        return head

    async def _check(self) -> None:
        """Raise `Refused`, or `Ended`, if the last answer has no events."""
        head = self.head
        assert head is not None
        if head.status in (101, 200):
            return
        if head.status == 204:
            self.ended = self._subscribed = True
            raise Ended
        assert self.connection is not None
        with suppress(EOFError, OSError):
            head.body = await read_body(self.connection, head)
        raise Refused(head)

    async def send(self, data: bytes | str, opcode: int = TEXT) -> None:
        """Send one frame, by default a text message, on the client's WebSocket."""
        assert self.connection is not None, "the client is not connected"
        await self.connection.send(frame(opcode, data.encode() if isinstance(data, str) else data))

    # -- reading

    async def step(self) -> Message | None:
        """Read one message and return it, or read one heartbeat and return None.

        Raises `Ended` or `Refused`, and `EOFError` or `OSError` if the connection is lost.
        """
        message = None if self.unread else await self._read()
        return self.unread.pop(0) if self.unread else message

    async def _read(self) -> Message | None:
        """Read one message of a stream, or one answer to a poll, whose messages go to `unread`."""
        if self._attempt is None:
            if self.streams:
                if self.ended:
                    raise Ended
                raise RuntimeError(f"{self!r} is not connected: use `async with`, or start()")
            self._begin()
        try:
            return await (self._read_stream() if self.streams else self._poll())
        except Ended as ended:
            # When a channel has ended, the server closes the WebSocket with 1000 and "end".
            self.ended = self.ended or (ended.code, ended.reason) == (1000, "end")
            self._note("ended by the server")
            raise
        except (EOFError, OSError) as error:
            self._note(f"lost ({type(error).__name__})")
            raise
        except Refused as refused:
            self._note(f"refused ({refused})")
            raise

    async def _read_stream(self) -> Message | None:
        if self._reader is None:
            raise RuntimeError(f"the answer to {self!r} has no events: {self.head}")
        over = self.retry is not None
        item = await self._reader.step()
        if over and item is not None:
            raise BadAnswer(f"the stream continues after its end was announced: {item}")
        if isinstance(item, Message):
            self._add(item)
            return item
        if item is not None:
            self.cursor = item.id or self.cursor
            self.retry = item.retry
        return None

    async def _poll(self) -> None:
        await asyncio.sleep(READERS[self.transport].pause)
        try:
            await self._ask()
            await self._check()
        except BaseException:
            # Nothing more can be read from a late answer.
            self._hang_up()
            raise
        # An immediate answer must not starve the loop.
        await asyncio.sleep(0)

    def _add(self, message: Message) -> None:
        """`message` has arrived."""
        assert self._attempt is not None
        self.cursor = message.id or self.cursor
        self._attempt.messages.append(message)
        if message.end and message.channel is None:
            self.ended = True

    def _note(self, end: str) -> None:
        if self._attempt is not None:
            self._attempt.end = end
