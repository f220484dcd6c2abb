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

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, ClassVar, overload

from tatsumaki_py.error import HTTPError
from tatsumaki_py.message_queue.channel import checked_name
from tatsumaki_py.message_queue.client import Client, State
from tatsumaki_py.message_queue.event import Event, check_type, encode
from tatsumaki_py.message_queue.idempotency import check_key
from tatsumaki_py.message_queue.listener import Poll
from tatsumaki_py.message_queue.memory import Accepted, MemoryEngine
from tatsumaki_py.message_queue.merged import MergedQueue
from tatsumaki_py.message_queue.retention import Retained

__all__ = ["Client", "Event", "MergedQueue", "MessageQueue", "Poll", "State"]

_MAX_MERGED = 20


class MessageQueue(Retained):
    """The queue of one channel. Get it with `instance`.

    Its settings, such as `backlog_length`, are class attributes; all but `max_channels` and
    `max_clients` may also be set on one queue. Not thread-safe: from another thread use
    ``loop.call_soon_threadsafe(mq.publish, event)``.
    """

    _engine: ClassVar[MemoryEngine] = MemoryEngine(Retained._registry.ids)

    # -- channels

    @overload
    @classmethod
    def instance(cls, channel: str) -> MessageQueue: ...

    @overload
    @classmethod
    def instance(cls, channel: str, *more: str) -> MessageQueue | MergedQueue: ...

    @classmethod
    def instance(cls, channel: str, *more: str) -> MessageQueue | MergedQueue:
        """The queue of `channel`, the same object for the same name.

        With more names, the queue of all these channels, to listen to; the same object for the same
        names, in whatever order, and the plain queue if they are all one.

        Raises:
            Error.HTTP: 400 for a name of more than 1024 characters.
            ValueError: more than 20 names.
        """
        if more:
            names = {checked_name("a channel's name", name) for name in (channel, *more)}
            if len(names) > _MAX_MERGED:
                raise ValueError(f"{len(names)} channels are more than {_MAX_MERGED}")
            if len(names) > 1:
                return cls._merge(tuple(sorted(names)))
        instances = MessageQueue._registry.instances
        queue = instances.get(checked_name("a channel's name", channel))
        if queue is None:
            queue = instances[channel] = cls(channel)
        return queue

    @classmethod
    def _merge(cls, names: tuple[str, ...]) -> MergedQueue:
        merged = MessageQueue._registry.merged
        queue = merged.get(names)
        if queue is None:
            queue = merged[names] = MergedQueue([cls.instance(name) for name in names])
        return queue

    @classmethod
    def channels(cls) -> list[MessageQueue]:
        """The queues of all channels that are held by somebody or hold something."""
        return list(MessageQueue._registry.instances.values())

    @classmethod
    def reset(cls) -> None:
        """Forget all channels and end what listens. For tests."""
        queues = cls.channels()
        for queue in (*MessageQueue._registry.merged.values(), *queues):
            queue._clear()
        for queue in queues:
            queue._release()
        MessageQueue._registry.reset()

    # -- publishing

    def publish(
        self, *events: Mapping[str, Any], idempotency_key: str | None = None
    ) -> Awaitable[list[str]]:
        """Append events and give them to everybody who listens, before this returns.

        Args:
            events: mappings that JSON can carry. Copied: later changes of them change nothing. With
                none, who waits in a long poll is answered with no events.
            idempotency_key: a name for these events, 1 to 255 characters. If they were published
                under it within `idempotency_time`, they are not published again: the ids are those
                of then. With it, it is safe to try again.

        Returns:
            An awaitable of the events' ids; waiting for it is optional.

        Raises:
            TypeError, ValueError: one is not JSON, or of type "gap", which tells a loss. Nothing is
                published then, as with the others.
            Error.HTTP: 413 if one has more than `max_event_size` bytes, 503 if there are too many
            channels, 400 for a bad key, 422 if other events were published under it.
        """
        if idempotency_key is not None:
            check_key(idempotency_key)
        return self._publish([self._encode(event) for event in events], idempotency_key)

    def publish_json(
        self, *bodies: bytes, idempotency_key: str | None = None
    ) -> Awaitable[list[str]]:
        """Publish events that are JSON already; see `publish`.

        Args:
            bodies: JSON objects in UTF-8, each checked already: this reads none of them.
            idempotency_key: as in `publish`.
        """
        if idempotency_key is not None:
            check_key(idempotency_key)
        return self._publish(list(map(self._fitting, bodies)), idempotency_key)

    def _publish(self, bodies: list[bytes], idempotency_key: str | None) -> Awaitable[list[str]]:
        if idempotency_key is not None:
            after = self._now() - self.idempotency_time
            ids = self._answers.find(idempotency_key, bodies, after)
            if ids is not None:
                return Accepted(ids)
        if bodies:
            self._use()
        else:
            for queue in (self, *self._merged.values()):
                queue._flush()
        return self._engine.publish(self, bodies, idempotency_key)

    def _answered(self, key: str, bodies: Sequence[bytes], ids: Sequence[str]) -> None:
        """The engine took `bodies`, and is about to deliver them."""
        self._answers.keep(key, bodies, ids, self._now(), self.idempotency_keys)

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
        if client is None or not self._reachable(client):
            return False
        self._deliver(
            client,
            [Event(body, client.cursor, client.cursor, channel=self.channel) for body in bodies],
        )
        return True

    @property
    def backlog_events(self) -> list[Event]:
        """What a new client would get, oldest first."""
        self._expire()
        return list(self._log.newest(self.backlog_length))

    def _encode(self, event: Mapping[str, Any]) -> bytes:
        body = encode(event)
        check_type(event)
        return self._fitting(body)

    def _fitting(self, body: bytes) -> bytes:
        """`body`, unless it is too large: 413."""
        if len(body) > self.max_event_size:
            raise HTTPError(
                413, f"an event of {len(body)} bytes is more than {self.max_event_size}"
            )
        return body
