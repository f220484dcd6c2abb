"""MessageQueue: publish events, and feed them to long polls and streams.

>>> import asyncio
>>> from tatsumaki_py import MessageQueue
>>> async def main():
...     mq = MessageQueue.instance("lobby")
...     mq.publish({"text": "hello"})
...     return await mq.poll_once("alice")
>>> asyncio.run(main())
[{'text': 'hello'}]

A channel is one bounded log of events, and a client is a cursor into it (`log`, `client`). Clients
have no queues of their own.

Source: ``Tatsumaki::MessageQueue``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Self, overload

from tatsumaki_py.done import Done
from tatsumaki_py.error import HTTPError
from tatsumaki_py.json_codec import JSON, JSONCodec
from tatsumaki_py.message_queue.audience import Audience
from tatsumaki_py.message_queue.channel import Channel
from tatsumaki_py.message_queue.client import Client, State
from tatsumaki_py.message_queue.engine import Engine, EngineError
from tatsumaki_py.message_queue.engine.choose import choice_of
from tatsumaki_py.message_queue.event import Event
from tatsumaki_py.message_queue.event_json import END, check_bytes, event_json
from tatsumaki_py.message_queue.idempotency import check_keys
from tatsumaki_py.message_queue.mailbox import AwaitedPoll, IteratedPoll, Poll
from tatsumaki_py.message_queue.merged import MAX_MERGED, MergedChannels
from tatsumaki_py.message_queue.names import checked_name
from tatsumaki_py.message_queue.own_settings import Settings, check
from tatsumaki_py.message_queue.published import InLoop, Published
from tatsumaki_py.message_queue.queue import MergedQueue, Queue
from tatsumaki_py.message_queue.registry import Registry
from tatsumaki_py.message_queue.settings import ChannelSettings, settings_of

__all__ = [
    "AwaitedPoll",
    "Client",
    "Engine",
    "EngineError",
    "Event",
    "IteratedPoll",
    "MergedQueue",
    "MessageQueue",
    "Poll",
    "Published",
    "State",
]


class MessageQueue(Queue, ChannelSettings, metaclass=Settings):
    """The queue of one channel. Get it with `instance`.

    Its settings, such as `backlog_length`, are class attributes. All but `max_channels`,
    `max_clients` and `max_size` may also be set on one queue: such a setting belongs to the name of
    the channel, and stays after the queue has been freed. Assigning an unknown setting raises
    `AttributeError`. A queue belongs to the thread of the event loop. Another thread may call
    `instance`, `publish` and the other methods that publish.
    """

    channel: str
    """The name of the channel."""
    json: JSONCodec = JSON
    """The encoder of published events. For values that have no JSON form, such as `datetime`, set
    your own encoder: an object with a method ``encode(value) -> str``, like `json.JSONEncoder`.
    Subscribers get the JSON that this method returns.
    """

    _registry: ClassVar[Registry] = Registry()
    # The channel whose queue is being made.
    _making: ClassVar[str | None] = None

    def __init__(self, channel: str) -> None:
        if channel != MessageQueue._making:
            # Such a queue would have a separate log, which no other code reads.
            raise TypeError(f"use {type(self).__name__}.instance({channel!r})")
        # A setting that is a property may read `channel`.
        own = {"channel": channel, **self._registry.own.settings(channel)}
        self._own = own
        self._channel = Channel(channel, settings_of(type(self), own), self._registry)
        audience = Audience(self._channel, self._registry.thread)
        super().__init__(audience, self._registry.processes, (channel,))
        self.__dict__.update(own)

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_"):
            check(type(self), name, value)
            self._registry.own.set(self.channel, name, value, self.max_channels)
            self._own[name] = value
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        self._registry.own.unset(self.channel, name)
        self._own.pop(name, None)

    def __repr__(self) -> str:
        held = f"{len(self._channel.log)} events, {len(self.clients)} clients"
        return f"<{type(self).__name__} {self.channel!r}: {held}>"

    # -- channels

    @overload
    @classmethod
    def instance(cls, channel: str | int) -> Self: ...

    @overload
    @classmethod
    def instance(cls, channel: str | int, *more: str | int) -> Self | MergedQueue: ...

    @classmethod
    def instance(cls, channel: str | int, *more: str | int) -> Self | MergedQueue:
        """The queue of `channel`, the same object for the same name.

        With several names, a queue to listen to all these channels: the same object for the same
        names in any order, or the queue of the one channel if all names are equal. An int is
        converted to a str.

        Called on a subclass, it returns a queue of that class. From that call on, the queue of the
        channel is of that class, even if `MessageQueue.instance` returns it. With several names,
        the queue of each channel is of that class.

        Raises:
            TypeError: the queue of a channel is of another class, or a name is neither a str nor an
                int.
            Error.HTTP: 400 for a name of more than 1024 characters.
            ValueError: more than 200 names.
        """
        if more:
            names = {checked_name("a channel's name", name) for name in (channel, *more)}
            if len(names) > MAX_MERGED:
                raise ValueError(f"{len(names)} channels, but at most {MAX_MERGED} are allowed")
            if len(names) > 1:
                return cls._merge(tuple(sorted(names)))
        name = checked_name("a channel's name", channel)
        registry = MessageQueue._registry
        queue = registry.instances.get(name)
        if queue is None:
            with registry.lock:
                # Another thread may have made the queue meanwhile.
                queue = registry.instances.get(name) or cls._make(name)
        if not isinstance(queue, cls):
            raise cls._another_class(name, type(queue))
        return queue

    @classmethod
    def _make(cls, name: str) -> Self:
        registry = MessageQueue._registry
        known: Any = registry.own.kind(name) or cls
        kind = cls if issubclass(cls, known) else known
        if not issubclass(kind, cls):
            raise cls._another_class(name, kind)
        MessageQueue._making = name
        try:
            queue: Self = kind(name)
        finally:
            MessageQueue._making = None
        registry.instances[name] = queue
        if kind is not MessageQueue:
            registry.own.keep_kind(name, kind, cls.max_channels)
        return queue

    @classmethod
    def _another_class(cls, name: str, kind: type) -> TypeError:
        use = f"call {cls.__name__}.instance({name!r}) before the channel is used"
        return TypeError(f"the queue of channel {name!r} is a {kind.__name__}: {use}")

    @classmethod
    def _merge(cls, names: tuple[str, ...]) -> MergedQueue:
        merged = MessageQueue._registry.merged
        queue = merged.get(names)
        if queue is None or cls is not MessageQueue:
            queues = [cls.instance(name) for name in names]
            with MessageQueue._registry.lock:
                queue = merged.get(names) or cls._merged(queues)
                merged[names] = queue
        return queue

    @classmethod
    def _merged(cls, queues: Sequence[MessageQueue]) -> MergedQueue:
        registry = MessageQueue._registry
        channels = MergedChannels([queue._channel for queue in queues], registry)
        audience = Audience(channels, registry.thread)
        return MergedQueue(channels.key, audience, queues, registry.processes)

    @classmethod
    def channels(cls) -> list[MessageQueue]:
        """The queues of all channels that have an event or a client, and all other queues that are
        still referenced.
        """
        return list(MessageQueue._registry.instances.values())

    @classmethod
    def reset(cls) -> None:
        """Drop all channels, their settings and the engine, and end all polls. For tests. Raises
        `RuntimeError` outside of the event loop's thread.
        """
        cls._registry.thread.check("reset", "MessageQueue")
        queues = cls.channels()
        for queue in (*MessageQueue._registry.merged.values(), *queues):
            queue._audience.clear()
        for queue in queues:
            queue._channel.release()
        MessageQueue._registry.reset()

    @classmethod
    def configure(cls, engine: Engine | str, **options: Any) -> None:
        """Choose the engine that accepts and keeps the events of all channels. The default is the
        URL in the environment variable ``TATSUMAKI_ENGINE``, else the memory of this process.

        Args:
            engine: its URL, such as ``"memory:"``; or your own engine, see
                `tatsumaki_py.message_queue.engine`.
            options: treated as if they were in the query string of the URL.

        Raises:
            TypeError: `engine` is neither a URL nor an engine.
            ValueError: the URL or an option is invalid.
            EngineError: a package that the engine needs is not installed. (A file or database
                server that cannot be used causes an error at the first use, and at the start of a
                `Server`.)
            RuntimeError: a channel is in use.
        """
        registry = MessageQueue._registry
        if registry.instances:
            names = ", ".join(sorted(registry.instances)[:3])
            raise RuntimeError(f"configure the engine before channels are used: {names}")
        registry.choose(choice_of(engine, options))

    # -- publishing

    def publish(
        self, *events: Any, key: str | None = None, idempotency_key: str | None = None
    ) -> Published:
        """Append events to the channel's log. With the in-memory engine, the callbacks of all
        listeners are called before this returns; streams that read the log themselves send the
        events after the burst.

        Args:
            events: JSON values, or values that `json` encodes. They are copied, so later changes
                have no effect. Without an event, waiting long polls are answered with no events.
            key: what the events are about, 1 to 255 characters, such as "EUR" for the exchange rate
                of the euro. Of the events of a key, a new client gets only the last one, however
                old it is (see `kept_keys`). Clients that are connected, or have a cursor, get every
                event.
            idempotency_key: a key for these events, 1 to 255 characters. If they were already
                published under this key within `idempotency_time`, they are not published again,
                and the same ids are returned. This makes a retry safe.

        Another thread may also call this: that thread encodes the events, and the loop publishes
        them in the order of that thread's calls. ``mq.publish(event).result(timeout)`` waits for
        their ids. If 100 such calls wait for the loop, the next call blocks its thread until there
        is room. An error for which no code waits is logged.

        Returns:
            An awaitable of the events' ids, a list of `str`; waiting for it is optional.

        Raises:
            TypeError, ValueError: an event cannot be encoded, or is of type "gap" or "end", which
                clients would take for a loss or for the end. Nothing is published.
            Error.HTTP: 413 if an event has more than `max_event_size` bytes, 503 if there are too
                many channels or bytes, or if the server is stopping, 400 for a bad key, 422 if
                different events were published under the idempotency key. In another thread,
                `Published.result` raises 503 and 422.
            RuntimeError: in another thread, if no event loop owns the queues. The main thread may
                publish before an event loop runs.
        """
        if key is not None or idempotency_key is not None:
            check_keys(key, idempotency_key)
        return self._publish([self._encode(event) for event in events], key, idempotency_key)

    def publish_json(
        self, *bodies: bytes, key: str | None = None, idempotency_key: str | None = None
    ) -> Published:
        """Publish events that are already JSON; see `publish`.

        Args:
            bodies: JSON in UTF-8, of type bytes. It is not parsed, so the caller must make sure
                that it is valid: clients cannot read invalid JSON.
            key, idempotency_key: as in `publish`.
        """
        check_keys(key, idempotency_key)
        for body in bodies:
            check_bytes(body)
        fitting = list(map(self._fitting, bodies))
        return self._publish(fitting, key, idempotency_key)

    def _publish(
        self,
        bodies: list[bytes],
        key: str | None,
        idempotency_key: str | None,
        quiet: bool = False,
    ) -> Published:
        thread = self._registry.thread
        if thread.is_here("append_backlog" if quiet else "publish"):
            return self._accept(bodies, key, idempotency_key, quiet)
        return thread.send(partial(self._accept, bodies, key, idempotency_key, quiet))

    def _accept(
        self, bodies: list[bytes], key: str | None, idempotency_key: str | None, quiet: bool
    ) -> Published:
        if self._registry.closed:
            self._registry.refuse()
        if not bodies and not quiet:
            for follower in tuple(self._channel.followers.values()):
                follower.flush()
        engine = self._registry.engine
        ids = engine.publish(
            self._channel, bodies, key=key, idempotency_key=idempotency_key, quiet=quiet
        )
        if self._registry.bound is None:
            method = "append_backlog" if quiet else "publish"
            self._registry.bind(f"{method}() was called on channel {self.channel!r}")
        return ids if isinstance(ids, Done) else InLoop(ids)

    def end(self, *, idempotency_key: str | None = None) -> Published:
        """End the channel: publish the event ``{"type": "end"}`` (`Event.end`). Each subscriber
        gets the events that it lacks, and this event last. Then its stream is finished, and it is
        not expected back. A long poll is answered as usual.

        A subscriber that comes later gets the events that it lacks, up to the end. If it lacks
        none, a `SubscribeHandler` answers with 204, after which an ``EventSource`` does not
        reconnect; a WebSocket is closed with 1000; ``poll`` and ``poll_once`` give the end again.

        Publishing again continues the channel. `ended` tells whether the channel has ended.

        Returns an awaitable of a list with the id of the end. As with `publish`, another thread may
        call this, and the same errors are raised.
        """
        check_keys(None, idempotency_key)
        return self._publish([END], None, idempotency_key)

    def append_backlog(self, *events: Any, key: str | None = None) -> Published:
        """Append events that only new clients get, as part of the backlog. A client that is
        connected, is expected back or has a cursor does not get them. `key` is as in `publish`.

        Returns an awaitable of the events' ids. As with `publish`, another thread may call this,
        and the same errors are raised. Source: ``append_backlog`` of ``Tatsumaki::MessageQueue``.
        """
        check_keys(key)
        bodies = [self._encode(event) for event in events]
        return self._publish(bodies, key, None, quiet=True) if bodies else Done([])

    def flush_events(self, client_id: str | int, *events: Any) -> bool:
        """Send events to one listening client only; they are not kept.

        Without an event, the client's long poll is answered with no events. Returns whether the
        client was listening in this process. Raises the same errors as `publish`, and
        `RuntimeError` in another thread. To reach a client in any process, publish on a separate
        channel for it.
        """
        self._registry.thread.check("flush_events")
        bodies = [self._encode(event) for event in events]
        return self._audience.give(checked_name("client_id", client_id), bodies)

    @property
    def backlog_events(self) -> list[Event]:
        """The events that a new client would get, oldest first."""
        return [entry.event() for entry in self._channel.backlog()]

    def _encode(self, event: Any) -> bytes:
        return self._fitting(event_json(event, self.json))

    def _fitting(self, body: bytes) -> bytes:
        """Returns `body`. Raises 413 if it is too large."""
        if len(body) > self.max_event_size:
            raise HTTPError(
                413, f"an event of {len(body)} bytes exceeds the maximum of {self.max_event_size}"
            )
        return body
