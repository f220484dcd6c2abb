"""A client of a `SubscribeHandler`, or of any push handler, over any transport.

Rules:
1. Nothing is read ahead, except by `follow`.
2. `aclose` leaves no task and no socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from tatsumaki_py.testing.connection import Connection
from tatsumaki_py.testing.delivery import Delivery
from tatsumaki_py.testing.following import LOST, Following
from tatsumaki_py.testing.message import Ended, Message, Refused
from tatsumaki_py.testing.reply import Reply
from tatsumaki_py.testing.target import Dial, Params, Target
from tatsumaki_py.testing.waiting import patience, within

__all__ = ["Subscriber"]

QUIET = 0.02
"""Seconds after the last event during which no message may arrive."""


class Subscriber(Following):
    """One client, which remembers its cursor::

        async with Subscriber("http://127.0.0.1:5000/events/news", "sse") as client:
            mq.publish("hello")
            assert (await client.next()).data == "hello"
            await client.reconnect("websocket")
            mq.publish("again")
            await client.assert_delivered(["hello", "again"])

    A subscriber reads only in `next`, `take` and `assert_delivered`; at other times, it is a client
    that does not read. After `follow`, it reads in a separate task, and reconnects whenever its
    connection ends.

    Args:
        url: the URL to subscribe to, beginning with ``http://``; or a function without arguments
            that returns the URL, called for each connection.
        transport: ``sse``, ``websocket``, ``ndjson``, ``multipart``, ``long-poll`` or
            ``interval-poll``; or several names: each connection uses the next one.
        cursor: the id of the event to start after; None for a new client.
        client_id: the name of the client, sent as the parameter ``client_id``.
        params: more parameters of the URL; each value is a string or a sequence of strings.
        headers: headers of the request, such as ``{"Cookie": "user=ann"}``.
        remembers: whether the client sends its cursor when it reconnects.
        receive_buffer: bytes that the kernel buffers for a client that does not read, at least
            a few thousand. With 4096, the server soon notices that the client has stopped reading.
        timeout: seconds of real time to wait for a message, and for the answer to `start`; after
            that, an `AssertionError` is raised. By default 10, or four fifths of Tornado's
            ``ASYNC_TEST_TIMEOUT`` (5) if that is less.
        connect: an async function without arguments that returns a `Connection`, in place of one to
            the host of `url`.

    Raises:
        ValueError: `transport` is unknown, or `url` does not begin with ``http://``.
    """

    def __init__(
        self,
        url: str | Callable[[], str],
        transport: str | Sequence[str] = "sse",
        *,
        cursor: str | None = None,
        client_id: str | None = None,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        remembers: bool = True,
        receive_buffer: int | None = None,
        timeout: float | None = None,
        connect: Dial | None = None,
    ) -> None:
        params = dict(params or {})
        if client_id is not None:
            params["client_id"] = client_id
        target = Target(url, params, headers or {}, receive_buffer, connect)
        timeout = patience(10.0) if timeout is None else timeout
        super().__init__(target, transport, cursor, remembers, timeout)

    # -- connections

    async def start(self) -> Self:
        """Connect and subscribe. A poll connects when the first message is read.

        Raises:
            Ended: the channel has ended, and this client has all its events (204).
            Refused: the answer has no events.
            EOFError, OSError: the connection fails.
            AssertionError: the server does not answer within the timeout of the client.
        """
        self.close()
        late = f"no answer came within {self.timeout:g} s"
        try:
            async with within(self.timeout, lambda: self._failed(late)):
                await self._start()
        except BaseException:
            self.close()
            raise
        return self

    async def open(self) -> Reply:
        """Connect and subscribe, and return the head of the answer, whatever its status. With a
        poll, this waits for the answer.
        """
        await self.request()
        return await self.answer()

    async def request(self) -> Connection:
        """Connect and send the request, without waiting for the answer."""
        self.close()
        self._begin()
        return await self._request()

    async def answer(self) -> Reply:
        """Wait for the answer to `request`, and return its head."""
        return await self._answer()

    async def reconnect(
        self, transport: str | Sequence[str] | None = None, *, reset: bool = False
    ) -> Self:
        """Disconnect, and subscribe again with the cursor. A client that follows continues to
        follow. Raises the same errors as `start`.

        Args:
            transport: the transport; by default, the next of the client's transports.
            reset: disconnect with RST instead of FIN.
        """
        follows = self._task is not None
        await self._stop()
        self.close(reset=reset)
        if transport is not None:
            self._use(transport)
        return self.follow() if follows else await self.start()

    def close(self, *, reset: bool = False) -> None:
        """Disconnect with FIN or RST. The client may come back with `start` or `reconnect`. For a
        client that follows, use `aclose`.
        """
        if self._task is not None and not self._task.done():
            self._task.cancel()
        self._drop("closed by the client", reset)

    async def aclose(self) -> None:
        """Disconnect for good. Raises the error that ended `follow`, if there was one."""
        task = self._task
        await self._stop()
        self.close()
        if task is not None and not task.cancelled():
            task.result()

    async def __aenter__(self) -> Self:
        return self if self._task is not None else await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            await self.aclose()
        else:
            await self._stop()
            self.close()

    # -- reading

    async def next(self, timeout: float | None = None) -> Message:
        """The next message: an event or a gap. `timeout` overrides the timeout of the client.

        Raises:
            AssertionError: no message came in time, or the bytes are wrong (`BadAnswer`).
            Ended: the server has ended the stream normally.
            Refused: the answer has no events.
            EOFError, OSError: the connection is lost. Call `reconnect` to connect again.
        """
        seconds = self.timeout if timeout is None else timeout
        async with within(seconds, lambda: self._failed(f"no message came within {seconds:g} s")):
            return await self._next()

    async def take(self, count: int) -> list[Any]:
        """The data of the next `count` messages. Raises the same errors as `next`; the timeout
        applies to all of them together.
        """
        taken: list[Any] = []
        late = f"messages came within {self.timeout:g} s"
        async with within(self.timeout, lambda: self._failed(f"{len(taken)} of {count} {late}")):
            while len(taken) < count:
                taken.append((await self._next()).data)
        return taken

    async def _next(self) -> Message:
        while self._task is not None and not self.unread:
            await self._followed()
        while (message := await self.step()) is None:
            pass
        return message

    def __aiter__(self) -> Self:
        """Iterate over the messages until the server ends the stream or, with `follow`, until the
        channel ends.
        """
        return self

    async def __anext__(self) -> Message:
        try:
            return await self.next()
        except Ended:
            raise StopAsyncIteration from None

    # -- the guarantee

    async def assert_delivered(
        self,
        events: Iterable[Any],
        *,
        allow_gap: bool = True,
        channel: str | None = None,
        timeout: float | None = None,
    ) -> None:
        """Assert that the client got each of `events` once and in order, or a gap in place of
        missing events, and nothing else, over all its connections.

        Reads until the last event has arrived, and for another 20 ms, during which no further
        message may arrive.

        Args:
            events: all events published for this client, oldest first: values or `Event` objects.
            allow_gap: False forbids gaps.
            channel: for a client of several channels, check only the messages of this one.
            timeout: seconds of real time for all events; by default, the timeout of the client.

        Raises `AssertionError`, which names the missing, duplicated or misplaced event with its id,
        and lists the connections. If `events` is empty, waits until the client is subscribed, and
        raises the error of its connection if it cannot subscribe.
        """
        seconds = self.timeout if timeout is None else timeout
        named = "client_id" in self.params
        expected = [*events]
        delivery = Delivery(expected, allow_gap, self.remembers, named, channel)
        if not expected and not self._subscribed:
            await self._subscribe(seconds)
        with suppress(_Late, *LOST):
            async with within(seconds, _Late):
                while not delivery.look(self.connections):
                    await self._more()
        if delivery.problem or not delivery.missing:
            # No more messages may arrive. If there is a problem already, further messages help to
            # explain it.
            try:
                async with within(QUIET, _Late):
                    while True:
                        await self._more()
            except _Late:
                pass
            except (Refused, *LOST):
                if not self._subscribed:
                    raise
            delivery.look(self.connections)
        self.unread.clear()
        problem = delivery.problem or delivery.missing
        if problem:
            raise self._failed(problem)

    async def _subscribe(self, seconds: float) -> None:
        """Wait until the client is subscribed. Raises the error of its connection."""
        reading = asyncio.ensure_future(self._more())
        try:
            waits = "the client did not subscribe"
            await self._until(lambda: reading.done() or self._waits(), waits, seconds)
            await asyncio.wait([reading], timeout=QUIET)
            if reading.done() and not self._subscribed:
                reading.result()
        finally:
            reading.cancel()
            await asyncio.wait([reading])
            if not reading.cancelled():
                reading.exception()

    def _waits(self) -> bool:
        """Whether the server would send events. A server that has not answered a poll yet may still
        refuse it.
        """
        return self._subscribed or (not self.streams and self.connection is not None)

    async def _more(self) -> None:
        """Wait until something has arrived."""
        self.unread.clear()
        await (self._read() if self._task is None else self._followed())


class _Late(Exception):
    """Time is up."""
