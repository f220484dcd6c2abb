"""Subscriptions in a cluster: a connection to each node that has the slot of a channel.

Rules:
1. A subscribed channel has an address in `_channels`. For a channel without an address (None),
   `_mend` looks for a node, with pauses, until a node confirms the subscription.
2. When a subscription is confirmed again, `read` returns SUBSCRIBED again.
3. `read` raises if no node of the cluster answers, or if the ACL user may not subscribe. If only
   some nodes are away, their channels wait.
4. A connection counts as lost if nothing arrives on it for a `probe_interval`, not even the answer
   to the PING at the beginning of that interval.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from redis import exceptions

from tatsumaki_py.message_queue.engine.redis.cluster import Cluster
from tatsumaki_py.message_queue.engine.redis.dial import AnyConnection, Dial
from tatsumaki_py.message_queue.engine.redis.node import Call
from tatsumaki_py.message_queue.engine.redis.options import RedisOptions
from tatsumaki_py.message_queue.engine.redis.slots import Address, slot_of
from tatsumaki_py.message_queue.engine.redis.subscriber import MESSAGE, SUBSCRIBED, UNSUBSCRIBED

__all__ = ["ClusterSubscriber"]

MOST_PAUSE = 1.0
"""Maximum seconds between two searches for the nodes of waiting channels."""
MOST_UNREAD = 1000
"""Maximum number of messages that wait for `read`. Beyond that, the connections are not read, and
Redis buffers the rest.
"""

Lost = (exceptions.RedisError, OSError)


class _Link:
    """The connection to one node."""

    def __init__(self) -> None:
        self.connection: AnyConnection | None = None
        self.reader: asyncio.Task[None] | None = None
        self.lock = asyncio.Lock()
        self.heard = True
        """Whether anything has arrived since the last check."""

    async def send(self, command: str, channels: Iterable[bytes], timeout: float) -> None:
        """Send one command for each slot, because a node refuses several slots in one command."""
        if self.connection is None:
            raise exceptions.ConnectionError("the connection is closed")
        slots: dict[int, list[bytes]] = {}
        for channel in channels:
            slots.setdefault(slot_of(channel), []).append(channel)
        batch: list[Call] = [(command, *group) for group in slots.values()]
        try:
            async with asyncio.timeout(timeout):
                await self.connection.send_packed_command(self.connection.pack_commands(batch))
        except TimeoutError:
            raise exceptions.TimeoutError(f"{command} was not sent in time") from None


class ClusterSubscriber:
    """A `Subscriber` of a cluster."""

    def __init__(self, cluster: Cluster, dial: Dial, options: RedisOptions) -> None:
        self._cluster = cluster
        self._dial = dial
        self._options = options
        self._channels: dict[bytes, Address | None] = {}
        self._waiting: set[bytes] = set()
        """Channels whose subscription is not confirmed, or not confirmed again after the connection
        to their node was lost.
        """
        self._links: dict[Address, _Link] = {}
        self._unread: asyncio.Queue[list[Any] | Exception] = asyncio.Queue(MOST_UNREAD)
        self._mender: asyncio.Task[None] | None = None
        self._pause = 0.0
        self._watcher = asyncio.create_task(self._watch())
        self._closed = False

    # -- see `Subscriber`

    async def subscribe(self, *channels: str | bytes) -> None:
        """See `Subscriber.subscribe`."""
        names = [_encoded(one) for one in channels]
        for name in names:
            self._channels[name] = None
            self._waiting.add(name)
        await self._place(names)

    async def unsubscribe(self, *channels: str | bytes) -> None:
        """See `Subscriber.unsubscribe`."""
        groups: dict[Address, list[bytes]] = {}
        for name in map(_encoded, channels):
            address = self._channels.pop(name, None)
            self._waiting.discard(name)
            if address is not None:
                groups.setdefault(address, []).append(name)
        for address, names in groups.items():
            if link := self._links.get(address):
                try:
                    await link.send("SUNSUBSCRIBE", names, self._options.command_timeout)
                except Lost:
                    await self._lose(address, link)

    async def read(self) -> list[Any]:
        """See `Subscriber.read`."""
        item = await self._unread.get()
        if isinstance(item, Exception):
            self._end(item)
            raise item
        return item

    async def close(self) -> None:
        """See `Subscriber.close`."""
        self._closed = True
        links, self._links = self._links, {}
        self._channels.clear()
        tasks = [self._watcher, self._mender, *(link.reader for link in links.values())]
        running = [task for task in tasks if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for link in links.values():
            if link.connection is not None:
                await link.connection.disconnect(nowait=True)
        self._end(exceptions.ConnectionError("the subscriber is closed"))

    def _end(self, error: Exception) -> None:
        """Make `read` raise from now on."""
        while not self._unread.empty():
            self._unread.get_nowait()
        self._unread.put_nowait(error)

    # -- where channels are

    async def _place(self, channels: Sequence[bytes]) -> None:
        """Subscribe to the channels without an address, each at the node that has its slot."""
        groups: dict[Address, list[bytes]] = {}
        for name in channels:
            address = self._cluster.owner(name)
            if address is not None and address not in self._cluster.absent:
                groups.setdefault(address, []).append(name)
        await asyncio.gather(*(self._place_at(*group) for group in groups.items()))
        if any(self._homeless(name) for name in channels):
            self._mend_soon()

    def _homeless(self, name: bytes) -> bool:
        return name in self._channels and self._channels[name] is None

    async def _place_at(self, address: Address, names: list[bytes]) -> None:
        link = self._links.get(address)
        if link is None:
            link = self._links[address] = _Link()
        try:
            async with link.lock:
                if link.connection is None:
                    link.connection = await self._open(address)
                    reading = self._read_link(address, link, link.connection)
                    link.reader = asyncio.create_task(reading)
                # Some channels may have been unsubscribed or placed meanwhile.
                wanted = [name for name in names if self._homeless(name)]
                for name in wanted:
                    self._channels[name] = address
                if wanted:
                    await link.send("SSUBSCRIBE", wanted, self._options.command_timeout)
        except Lost:
            await self._lose(address, link)

    async def _open(self, address: Address) -> AnyConnection:
        try:
            return await self._dial.open(*address)
        except Lost as error:
            self._cluster.absent.add(address, error)
            raise

    async def _lose(self, address: Address, link: _Link) -> None:
        """The connection is broken: its channels lose their address."""
        if self._links.get(address) is link:
            del self._links[address]
        if link.reader is not None and link.reader is not asyncio.current_task():
            link.reader.cancel()
        connection, link.connection = link.connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)
        self._cluster.doubt()
        self._unplace([name for name, where in self._channels.items() if where == address])

    def _unplace(self, channels: Sequence[bytes]) -> None:
        for name in channels:
            self._channels[name] = None
            self._waiting.add(name)
        self._mend_soon()

    def _mend_soon(self) -> None:
        if self._mender is None and not self._closed:
            self._mender = asyncio.create_task(self._mend())

    async def _mend(self) -> None:
        """Find the nodes of the channels without an address. The pauses get longer until all
        channels are confirmed.
        """
        try:
            while homeless := [name for name in self._channels if self._homeless(name)]:
                if not self._pause:
                    self._pause = self._options.backoff / 4
                else:
                    await asyncio.sleep(self._pause)
                    self._pause = min(self._pause * 1.5, self._options.max_backoff, MOST_PAUSE)
                await self._cluster.refresh()
                await self._place(homeless)
                self._cluster.doubt()
        except Lost as error:
            self._end(error)
        finally:
            self._mender = None

    def _confirmed(self, channel: bytes) -> None:
        self._waiting.discard(channel)
        if not self._waiting:
            self._pause = 0.0

    # -- messages

    async def _read_link(self, address: Address, link: _Link, connection: AnyConnection) -> None:
        while True:
            try:
                reply = await connection.read_response()
            except exceptions.MovedError as error:
                self._move(address, error)
                continue
            except exceptions.NoPermissionError as error:
                self._end(error)
                return
            except Lost:
                await self._lose(address, link)
                return
            link.heard = True
            if isinstance(reply, list) and len(reply) == 3:
                await self._take(address, *reply)

    async def _take(self, address: Address, kind: bytes, channel: bytes, data: Any) -> None:
        here = self._channels.get(channel) == address
        if kind == b"smessage":
            await self._unread.put([MESSAGE, channel, data])
        elif kind == b"ssubscribe" and here:
            self._confirmed(channel)
            await self._unread.put([SUBSCRIBED, channel, data])
        elif kind == b"sunsubscribe" and here:
            # The slot has moved to another node.
            self._cluster.doubt()
            self._unplace([channel])
        elif kind == b"sunsubscribe" and channel not in self._channels:
            await self._unread.put([UNSUBSCRIBED, channel, data])

    def _move(self, address: Address, error: exceptions.MovedError) -> None:
        self._cluster.moved(error.slot_id, (error.host or address[0], error.port))
        placed = [name for name, where in self._channels.items() if where == address]
        self._unplace([name for name in placed if slot_of(name) == error.slot_id])

    async def _watch(self) -> None:
        """Close connections on which not even the answer to a PING arrives."""
        while True:
            await asyncio.sleep(self._options.probe_interval)
            for address, link in [*self._links.items()]:
                if not link.heard:
                    self._cluster.absent.add(address, "it is silent")
                    await self._lose(address, link)
                elif link.connection is not None:
                    link.heard = False
                    await self._ping(address, link, link.connection)

    async def _ping(self, address: Address, link: _Link, connection: AnyConnection) -> None:
        try:
            async with asyncio.timeout(self._options.command_timeout):
                await connection.send_command("PING")
        except Lost:
            await self._lose(address, link)


def _encoded(channel: str | bytes) -> bytes:
    return channel.encode() if isinstance(channel, str) else channel
