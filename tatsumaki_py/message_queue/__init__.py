"""MessageQueue: publish events, feed them to long polls and streams.

>>> import asyncio
>>> from tatsumaki_py import MessageQueue
>>> async def main():
...     mq = MessageQueue.instance("lobby")
...     mq.publish({"text": "hello"})
...     return await mq.poll_once("alice")
>>> asyncio.run(main())
[{'text': 'hello'}]

A channel is one bounded log of events; a client is a cursor into it (`log`, `client`). There is no
queue for each client.

Source: ``Tatsumaki::MessageQueue``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from tatsumaki_py.error import HTTPError
from tatsumaki_py.message_queue.channel import Channel
from tatsumaki_py.message_queue.client import LISTENING, Client, State
from tatsumaki_py.message_queue.event import Event, encode
from tatsumaki_py.message_queue.listener import Listener, Mailbox, Poll
from tatsumaki_py.message_queue.memory import MemoryEngine

__all__ = ["Client", "Event", "MessageQueue", "Poll", "State"]

_MAX_NAME = 1024


def _name(kind: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{kind} is a str, not {type(value).__name__}")
    if len(value) > _MAX_NAME:
        raise HTTPError(400, f"{kind} is longer than {_MAX_NAME} characters")
    return value


class MessageQueue(Channel):
    """The queue of one channel. Get it with `instance`.

    Its settings, such as `backlog_length`, are class attributes; all but `max_channels` and
    `max_clients` may also be set on one queue. Not thread-safe: from another thread use
    ``loop.call_soon_threadsafe(mq.publish, event)``.
    """

    _engine: ClassVar[MemoryEngine] = MemoryEngine()

    # -- channels

    @classmethod
    def instance(cls, channel: str) -> MessageQueue:
        """The queue of `channel`, the same object for the same name. 400 for a name of more than
        1024 characters.
        """
        instances = MessageQueue._registry.instances
        queue = instances.get(_name("a channel's name", channel))
        if queue is None:
            queue = instances[channel] = cls(channel)
        return queue

    @classmethod
    def channels(cls) -> list[MessageQueue]:
        """All queues that are held by somebody or hold something."""
        return list(MessageQueue._registry.instances.values())

    @classmethod
    def reset(cls) -> None:
        """Forget all channels and end what listens. For tests."""
        for queue in cls.channels():
            for client in list(queue._clients.values()):
                queue._forget(client)
            queue._release()

    # -- publishing

    def publish(self, *events: Mapping[str, Any]) -> Awaitable[list[str]]:
        """Append events and give them to everybody who listens, before this returns.

        Args:
            events: mappings that JSON can carry. Copied: later changes of them change nothing. With
                none, who waits in a long poll is answered with no events.

        Returns:
            An awaitable of the events' ids; waiting for it is optional.

        Raises:
            TypeError, ValueError: one is not JSON. Nothing is published then, as with the others.
            Error.HTTP: 413 if one has more than `max_event_size` bytes, 503 if there are too many
            channels.
        """
        bodies = [self._encode(event) for event in events]
        if bodies:
            self._use()
        else:
            for client in (*self._waiting.values(), *self._streams.values()):
                self.flush_events(client.id)
        return self._engine.publish(self, bodies)

    def append_backlog(self, *events: Mapping[str, Any]) -> None:
        """Append events without calling anybody: they come with the next event that is published,
        or with the next poll.

        Raises as `publish`.
        """
        bodies = [self._encode(event) for event in events]
        self._use()
        delivering, self._delivering = self._delivering, True
        try:
            self._engine.publish(self, bodies)
        finally:
            self._delivering = delivering
        if not delivering:
            self._trim()

    def flush_events(self, client_id: str, *events: Mapping[str, Any]) -> bool:
        """Give events to one client that is listening, and to nobody else; they are not kept.

        With none, its long poll is answered with no events. Returns whether the client was there;
        raises as `publish`.
        """
        bodies = [self._encode(event) for event in events]
        client = self._clients.get(client_id)
        if client is None or client.state is not LISTENING or client is self._telling:
            return False
        self._deliver(
            client,
            [Event(body, client.cursor, client.cursor, channel=self.channel) for body in bodies],
        )
        return True

    def disconnect(self) -> None:
        """End what listens here: long polls are answered with no events, streams are finished. Who
        comes back goes on where it was.
        """
        for client in list(self._clients.values()):
            listener, waiting = client.listener, client.state is LISTENING
            if listener is not None:
                self._take_back(client, listener)
                client.leave(self._now(), self.reconnect_time)
                self._absent[client.id] = client
                self._park(client)
                self._supersede(client, listener, waiting, None)
        self._arm()

    @property
    def backlog_events(self) -> list[Event]:
        """What a new client would get, oldest first."""
        self._expire()
        return list(self._log.newest(self.backlog_length))

    @property
    def clients(self) -> Mapping[str, Client]:
        """The clients that listen or are expected back, by id. Read-only."""
        return MappingProxyType(self._clients)

    def cursor(self) -> str:
        """The id of the newest event: give it as `last_event_id` to get what comes after it."""
        return self._log.top

    # -- polling

    def poll_once(
        self,
        client_id: str,
        callback: Callable[..., Any] | None = None,
        timeout: float = 55.0,
        *,
        last_event_id: str | None = None,
    ) -> Poll:
        """Long poll: the next events for a client, as soon as there are any.

        While a request is handled it belongs to that request, also in a task: it ends when the
        client leaves or the answer is complete. A task that is to go on is started with
        ``asyncio.create_task(bot(), context=contextvars.Context())``.

        Args:
            client_id: names the client; it goes on where it was if it comes back within
                `reconnect_time`. A new one gets the backlog. A second poll with the same id ends
                the first with no events.
            callback: called once as ``callback(*events)``, without events after `timeout`. If it
                returns an awaitable, that is waited for before the delivery counts as done.
            timeout: seconds to wait; 0 answers at once with what there is.
            last_event_id: id of the last event that the client has; wins over what is remembered.
                By default what the request being handled says (`Request.last_event_id`); "" for
                none. If what follows it is not known any more, a gap comes first (`Event.gap`).

        Returns:
            Without a callback, something to await for the list of events. With one, `Poll.cancel`
            is of use.

        Raises:
            TypeError, ValueError: `client_id` is not a str, `timeout` is not a number from 0 on.
            Error.HTTP: 400 for a `last_event_id` that is none or an overlong `client_id`, 503 for
            too many clients or channels. Error.ClientDisconnect: when awaited, if the client of the
            request goes away.
        """
        number: object = timeout
        if not isinstance(number, (int, float)):
            raise TypeError(f"timeout is a number of seconds, not {timeout!r}")
        if not number >= 0:
            raise ValueError(f"timeout is a number of seconds from 0 on, not {timeout!r}")
        _name("client_id", client_id)
        listener = self._listener(callback, True)
        return self._listen(client_id, listener, last_event_id, timeout)

    def poll(
        self,
        client_id: str,
        callback: Callable[..., Any] | None = None,
        *,
        last_event_id: str | None = None,
    ) -> Poll:
        """Stream: all events for a client from its cursor on, until it goes.

        As `poll_once`, but the callback is called for each delivery, and without one the result is
        iterated: ``async for events in mq.poll(client_id)``. A callback that returns an awaitable
        is not called again before that is done; the log keeps what comes meanwhile (up to
        `buffer_length` events, then there is a gap).
        """
        _name("client_id", client_id)
        listener = self._listener(callback, False)
        return self._listen(client_id, listener, last_event_id, None)

    def _listener(self, callback: Callable[..., Any] | None, once: bool) -> Listener:
        if callback is None:
            return Mailbox(self, once)
        if not callable(callback):
            raise TypeError(f"not a callback: {callback!r}")
        return Listener(self, callback, once)

    def _encode(self, event: Mapping[str, Any]) -> bytes:
        body = encode(event)
        if len(body) > self.max_event_size:
            raise HTTPError(
                413, f"an event of {len(body)} bytes is more than {self.max_event_size}"
            )
        return body
