"""A client that vanishes leaves no socket in CLOSE_WAIT, no handler and no file descriptor.

In the original, its long poll stayed for 55 s and its stream until the next publish. Here both end
within seconds.
"""

import asyncio
import os
import time
import weakref
from pathlib import Path

import pytest

from tatsumaki_py import Application, Handler, MessageQueue

CLIENTS = 20
ESTABLISHED, CLOSE_WAIT = "01", "08"
handlers = weakref.WeakSet()


class Counted(Handler):
    asynchronous = True

    def initialize(self):
        handlers.add(self)


class Poll(Counted):
    def get(self):
        client_id = self.request.param("client_id")
        MessageQueue.instance("leak").poll_once(client_id, self.on_new_event)

    def on_new_event(self, *events):
        self.write(events)
        self.finish()


class MultipartPoll(Counted):
    def get(self):
        self.multipart_xhr_push(True)
        MessageQueue.instance("leak").poll(self.request.param("client_id"), self.on_new_event)

    def on_new_event(self, *events):
        for event in events:
            self.stream_write(event)


class AwaitedPoll(Counted):
    async def get(self):
        events = await MessageQueue.instance("leak").poll_once(self.request.param("client_id"))
        self.finish(events)


class AwaitedStream(Counted):
    async def get(self):
        self.multipart_xhr_push(True)
        async for events in MessageQueue.instance("leak").poll(self.request.param("client_id")):
            for event in events:
                await self.stream_write(event)


@pytest.fixture
def app():
    kinds = (Poll, MultipartPoll, AwaitedPoll, AwaitedStream)
    return Application([(f"/{kind.__name__}", kind) for kind in kinds])


def sockets(port, *states):
    """The number of the server's sockets in these states, from the kernel's list (proc(5))."""
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    # Count by inode: the list may name a socket twice if it changes while it is read.
    return len({row[9] for row in rows if row[1].endswith(f":{port:04X}") and row[3] in states})


def descriptors():
    return len(os.listdir("/proc/self/fd"))


async def within(seconds, condition):
    """Wait until `condition()` is true, in real time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("leave", ["close", "reset", "half_close"])
@pytest.mark.parametrize("kind", ["Poll", "MultipartPoll", "AwaitedPoll", "AwaitedStream"])
@pytest.mark.gen_test
async def test_vanished(http_server, http_port, raw, kind, leave):
    """Sockets and handlers of vanished clients are freed; clients that return get missed events."""
    mq = MessageQueue.instance("leak")
    before = descriptors()
    clients = [await raw(http_port) for _ in range(CLIENTS)]
    for n, client in enumerate(clients):
        await client.send(f"GET /{kind}?client_id={n} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    await within(5, lambda: len(mq.clients) == CLIENTS)
    assert sockets(http_port, ESTABLISHED) == len(handlers) == CLIENTS
    assert descriptors() == before + 2 * CLIENTS
    for client in clients:
        getattr(client, leave)()
    await within(5, lambda: sockets(http_port, ESTABLISHED, CLOSE_WAIT) == 0)
    await within(5, lambda: not handlers)
    for client in clients:
        client.close()
    assert descriptors() == before
    assert {client.listener for client in mq.clients.values()} == {None}
    mq.publish({"n": 1})
    for n in range(CLIENTS):
        assert await mq.poll_once(f"{n}", timeout=0) == [{"n": 1}]


@pytest.mark.parametrize("kind", ["Poll", "MultipartPoll"])
@pytest.mark.gen_test
async def test_vanished_in_the_very_instant(http_server, http_port, raw, kind):
    """An event that is published in the loop iteration in which a client vanishes is not lost."""
    mq = MessageQueue.instance("leak")
    for n, leave in enumerate(("close", "reset") * 5):
        client = await raw(http_port)
        await client.send(f"GET /{kind}?client_id={n} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await within(5, lambda n=n: f"{n}" in mq.clients)
        cursor = mq.cursor()
        getattr(client, leave)()
        mq.publish({"n": n})
        await within(5, lambda n=n: mq.clients[f"{n}"].listener is None)
        assert sockets(http_port, ESTABLISHED, CLOSE_WAIT) == 0
        expected = [{"n": n}]
        if kind == "MultipartPoll" and leave == "close":
            # The kernel took the bytes, as a client may still read after its FIN. The event is
            # not lost: a cursor before it gets it.
            assert await mq.poll_once(f"{n}", last_event_id=cursor) == expected
        else:
            # The backlog that the client got first may not have been sent either.
            assert (await mq.poll_once(f"{n}", timeout=0))[-1:] == expected
    await within(5, lambda: not handlers)


@pytest.mark.gen_test
async def test_many_rounds(http_server, http_port, raw):
    """A hundred connections of one client leave one client and no descriptors."""
    mq = MessageQueue.instance("leak")
    before = descriptors()
    for n in range(100):
        kind = ("Poll", "MultipartPoll")[n % 2]
        client = await raw(http_port)
        await client.send(f"GET /{kind}?client_id=me HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        await within(5, lambda: handlers)
        await within(5, lambda: "me" in mq.clients and mq.clients["me"].listener)
        (client.close if n % 3 else client.reset)()
        await within(5, lambda: not handlers)
    assert sockets(http_port, ESTABLISHED, CLOSE_WAIT) == 0
    assert descriptors() == before
    assert [*mq.clients] == ["me"]
