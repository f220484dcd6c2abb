"""The common methods of `MessageQueue` and `MergedQueue`, and the queue of several channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Any, overload

from tatsumaki_py.message_queue.audience import Audience
from tatsumaki_py.message_queue.client import Client
from tatsumaki_py.message_queue.ids import NOWHERE
from tatsumaki_py.message_queue.mailbox import AwaitedPoll, IteratedPoll, Poll
from tatsumaki_py.message_queue.names import checked_name
from tatsumaki_py.message_queue.processes import Processes
from tatsumaki_py.message_queue.settings import ChannelSettings

__all__ = ["ALL", "All", "MergedQueue", "Queue"]

TIMEOUT = 55.0
"""The default timeout of a long poll, in seconds."""


class All(Enum):
    """Stands for all clients, in place of a client's name."""

    ALL = "all clients"
    """The only value."""


ALL = All.ALL


class Queue:
    """A queue to which clients listen."""

    def __init__(self, audience: Audience, processes: Processes, channels: tuple[str, ...]) -> None:
        self._audience = audience
        self._processes = processes
        self._channels = channels

    def cursor(self) -> str:
        """The id of the newest event: a poll with this ``last_event_id`` gets the events after it.
        "" if the log was never loaded (see `ready`). A poll with "" has no cursor: a new client
        gets the backlog.
        """
        top = self._audience.log.top
        # `NOWHERE` is a place after which events are lost.
        return "" if NOWHERE in top.split(",") else top

    @property
    def ended(self) -> bool:
        """Whether the newest event is the end of the channel (`MessageQueue.end`); with several
        channels, whether this is true of each. False if the log was never loaded (see `ready`).
        """
        return self._audience.log.ended

    def _is_over(self, cursor: str | None, client_id: str | None) -> bool:
        """Whether the channel has ended, and has no more events for a client. For a new client,
        which has no cursor, the end does not count as an event. False if this process cannot tell,
        because it does not have the log, or does not know the client's name.
        """
        return self._audience.log.ended and self._audience.has_all(cursor, client_id)

    @property
    def clients(self) -> Mapping[str, Client]:
        """The clients that listen or are expected back, by id. Read-only."""
        return MappingProxyType(self._audience.roster.clients)

    @property
    def subscribers(self) -> int:
        """The number of subscribers in this process, including those that listen to this channel
        together with other channels. See `count_subscribers` for all processes.

        A client counts from its first poll until its connection is closed or its callback fails. A
        client with a ``client_id`` still counts for `reconnect_time` after its long poll was
        answered or the server ended its stream.
        """
        return self._processes.count(self._channels)

    async def count_subscribers(self) -> int:
        """The `subscribers` of all processes that share the engine; a named client counts once.
        With the in-memory engine, this returns `subscribers` immediately.

        Each call asks the other processes. No count is stored, so the clients of a killed process
        do not count. A process that does not answer within a second is left out. Raises
        `Error.HTTP` 503 if the engine's server is away, or if this process cannot receive the
        answers.
        """
        others = await self._processes.others(self._channels)
        return self.subscribers + others

    def disconnect(self, client_id: str | int | All = ALL) -> bool:
        """End the poll of one client, or the polls of all: a long poll is answered with no events,
        a stream is finished. A client that returns resumes where it left off; without a cursor, it
        must return within `reconnect_time`. To keep a client out, use
        `SubscribeHandler.disconnect`.

        If several processes share the engine, the polls in the others also end, soon after this
        returns.

        Args:
            client_id: names the client. Without it, all polls end, including those of anonymous
                clients. None raises `TypeError`, because it names no client.

        Returns:
            Whether there was a poll to end in this process.

        Raises:
            TypeError: `client_id` is None or not a name.
            RuntimeError: called outside of the event loop's thread.
        """
        self._audience.check_thread("disconnect", "mq")
        name = None
        if not isinstance(client_id, All):
            name = checked_name("client_id", client_id)
        return self._processes.disconnect(self._channels, name)

    async def ready(self) -> None:
        """Wait until the engine has loaded the log; with the in-memory engine, the log is always
        loaded. After that, `cursor` and `MessageQueue.backlog_events` are up to date. Raises the
        error with which the engine fails, such as `Error.HTTP` 503.
        """
        await self._audience.ready()

    @overload
    def poll_once(
        self,
        client_id: str | int | None,
        callback: None = None,
        timeout: float | None = TIMEOUT,
        *,
        last_event_id: str | None = None,
        on_unsubscribe: Callable[[], Any] | None = None,
    ) -> AwaitedPoll: ...

    @overload
    def poll_once(
        self,
        client_id: str | int | None,
        callback: Callable[..., Any],
        timeout: float | None = TIMEOUT,
        *,
        last_event_id: str | None = None,
        on_unsubscribe: Callable[[], Any] | None = None,
    ) -> Poll: ...

    def poll_once(
        self,
        client_id: str | int | None,
        callback: Callable[..., Any] | None = None,
        timeout: float | None = TIMEOUT,
        *,
        last_event_id: str | None = None,
        on_unsubscribe: Callable[[], Any] | None = None,
    ) -> Poll:
        """Long poll: the next events for a client, as soon as there are any.

        A poll that begins while a request is handled belongs to that request, even if it begins in
        a task: it ends when the client leaves or the answer is complete. Use `Application.spawn`
        for a task that should continue.

        Args:
            client_id: names the client (an int is converted to a str). A client that returns within
                `reconnect_time` resumes where it left off. A new client gets the backlog. A second
                poll with the same id ends the first one, which gets no events. None stands for an
                anonymous client, which resumes from `last_event_id`, or is new.
            callback: called once, as ``callback(*events)``; after `timeout`, without events. If it
                returns an awaitable, the events count as delivered when the awaitable is done.
            timeout: seconds to wait; 0 answers immediately with the present events, None is the
                default, 55.
            last_event_id: id of the last event that the client received; overrides the remembered
                place. Default: that of the current request (`Request.last_event_id`); "" for none.
                If the events after this id are unknown, because it is too old, is from before a
                restart, or is not an id, a gap comes first (`Event.gap`).
            on_unsubscribe: called once, without arguments and outside of any request, when the
                client stops being a subscriber (see `subscribers`). If several polls of the client
                gave a function, the latest one is called. If it returns an awaitable, the awaitable
                is run. An exception is logged.

        Returns:
            A `Poll`, which `Poll.cancel` ends; `Poll.new` tells whether the client was not a
            subscriber before. Without a callback, it is an `AwaitedPoll`: awaiting it gives the
            list of events.

        Raises:
            TypeError, ValueError: `client_id` is neither a str nor an int, `last_event_id` is not a
                str, or `timeout` is not a number, or is negative.
            Error.HTTP: 400 for an overlong `client_id`, 503 for too many clients. When awaited, 503
                if the engine cannot load the events at the moment.
            RuntimeError: no event loop is running, or it is not the loop of the queues.
            Error.ClientDisconnect: when awaited, if the client of the request leaves.
        """
        timeout = TIMEOUT if timeout is None else timeout
        number: object = timeout
        if not isinstance(number, (int, float)):
            raise TypeError(f"timeout must be a number of seconds, not {timeout!r}")
        if not number >= 0:
            raise ValueError(f"timeout must be 0 seconds or more, not {timeout!r}")
        audience = self._audience
        return audience.arrivals.listen(
            audience, client_id, callback, last_event_id, on_unsubscribe, timeout, once=True
        )

    @overload
    def poll(
        self,
        client_id: str | int | None,
        callback: None = None,
        *,
        last_event_id: str | None = None,
        on_unsubscribe: Callable[[], Any] | None = None,
    ) -> IteratedPoll: ...

    @overload
    def poll(
        self,
        client_id: str | int | None,
        callback: Callable[..., Any],
        *,
        last_event_id: str | None = None,
        on_unsubscribe: Callable[[], Any] | None = None,
    ) -> Poll: ...

    def poll(
        self,
        client_id: str | int | None,
        callback: Callable[..., Any] | None = None,
        *,
        last_event_id: str | None = None,
        on_unsubscribe: Callable[[], Any] | None = None,
    ) -> Poll:
        """Stream: all events for a client after its cursor, until the client leaves.

        Like `poll_once`, but the callback is called for each delivery. Without a callback, the
        result is an `IteratedPoll`: ``async for events in mq.poll(client_id)``. If a callback
        returns an awaitable, the callback is not called again until the awaitable is done; the log
        keeps the events that arrive meanwhile (up to `MessageQueue.buffer_length`; beyond that, the
        client gets a gap).
        """
        audience = self._audience
        return audience.arrivals.listen(
            audience, client_id, callback, last_event_id, on_unsubscribe, None, once=False
        )


class MergedQueue(Queue):
    """A queue for listening to several channels. Get it with ``MessageQueue.instance("a", "b")``.

    Poll it like a `MessageQueue`. `Event.channel` names the channel of an event; `Event.id` is a
    cursor in all the channels. Each channel keeps its events by its own settings: if one has
    dropped events that a client needs, the client gets a gap for that channel, and loses no event
    of the others. A new client gets the backlog of each channel.
    """

    channel: tuple[str, ...]
    """The names of the channels, sorted."""

    def __init__(
        self,
        channel: tuple[str, ...],
        audience: Audience,
        queues: Sequence[ChannelSettings],
        processes: Processes,
    ) -> None:
        super().__init__(audience, processes, channel)
        self.channel = channel
        # Keeps the queues of its channels alive.
        self._queues = queues

    @property
    def reconnect_time(self) -> float:
        """Seconds for which an absent client is expected back: the longest `reconnect_time` of the
        channels.
        """
        return max(queue.reconnect_time for queue in self._queues)

    @property
    def recovery_time(self) -> float:
        """Seconds after which an event that was sent counts as received: the longest
        `recovery_time` of the channels.
        """
        return max(queue.recovery_time for queue in self._queues)

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and name != "channel":
            # The setting would apply to no channel, and vanish with this object.
            raise AttributeError(f"set {name} on each channel: MessageQueue.instance(name).{name}")
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.channel!r}: {len(self.clients)} clients>"
