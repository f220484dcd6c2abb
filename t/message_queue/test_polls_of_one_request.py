"""The cursor of a request counts once: a later poll of it continues after the previous one."""

import pytest
from message_queue.fakes import FakePeer, Taker, events, numbers
from support.wire import read_reply

from tatsumaki_py import Application, Handler, MessageQueue
from tatsumaki_py.message_queue import peer as peers
from tatsumaki_py.testing import Connection


class Loop(Handler):
    async def get(self):
        name, mq = self.request.param("client_id"), MessageQueue.instance("room")
        got = [numbers(await mq.poll_once(name, timeout=0)) for _ in range(3)]
        mq.publish({"n": 3})
        got.append(numbers(await mq.poll_once(name)))
        self.write(got)


class Callback(Handler):
    asynchronous = True
    got = ()

    def get(self):
        self.poll()

    def poll(self):
        MessageQueue.instance("room").poll_once(
            self.request.param("client_id"), self.on_new_event, 0
        )

    def on_new_event(self, *events):
        self.got = [*self.got, numbers(events)]
        if len(self.got) == 3:
            MessageQueue.instance("room").publish({"n": 3})
        if len(self.got) < 4:
            self.poll()
        else:
            self.finish(self.got)


@pytest.fixture
def app():
    return Application([("/loop", Loop), ("/callback", Callback)])


@pytest.mark.parametrize("name", ["ann", ""])
@pytest.mark.parametrize("way", ["loop", "callback"])
@pytest.mark.gen_test
async def test_over_http(http_server, http_port, way, name):
    """If a request with a cursor polls several times, each event comes once."""
    first, *_ = await MessageQueue.instance("room").publish(*events(0, 1, 2))
    client = await Connection.connect(http_port)
    query = f"?client_id={name}" if name else ""
    await client.send(
        f"GET /{way}{query} HTTP/1.1\r\nHost: x\r\nLast-Event-ID: {first}\r\n\r\n".encode()
    )
    reply = await read_reply(client)
    client.close()
    assert reply.body == b"[[1,2],[],[],[3]]"


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.parametrize("name", ["ann", None])
@pytest.mark.parametrize("cursor", [True, False])
@pytest.mark.gen_test
async def test_without_a_cursor_as_well(queue, cursor, name):
    """With or without a cursor, several polls of one request get each event once."""
    ids = await queue.publish(*events(1, 2))
    peer = FakePeer(cursor=ids[0] if cursor else None)
    for n in (3, 4):
        queue.poll_once(name, peer.on_new_event, 0)
        queue.poll_once(name, peer.on_new_event, 0)
        await queue.publish({"n": n})
    queue.poll_once(name, peer.on_new_event, 0)
    assert peer.calls == [[2] if cursor else [1, 2], [], [3], [], [4]]


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_a_stream_and_then_a_poll(queue):
    """A poll that follows a stream in the same request continues after it."""
    ids = await queue.publish(*events(1, 2, 3))
    for name in ("ann", None):
        peer = FakePeer(cursor=ids[0])
        poll = queue.poll(name, peer.on_new_event)
        poll.cancel()
        queue.poll_once(name, peer.on_new_event, 0)
        queue.poll(name, peer.on_new_event)
        queue.poll(name, peer.on_new_event)
        assert peer.calls[:2] == [[2, 3], []]
        assert peer.calls.count([2, 3]) == 1


@pytest.mark.gen_test
async def test_a_batch_that_nobody_took(queue):
    """If a poll is dropped before its events are taken, the next poll gets them."""
    ids = await queue.publish(*events(1, 2))
    peer = FakePeer(cursor=ids[0])
    token = peers.current.set(lambda: peer)
    try:
        poll = queue.poll_once(None)
        await queue.publish({"n": 3})
        del poll
        assert numbers(await queue.poll_once(None)) == [2, 3]
        assert await queue.poll_once(None, timeout=0) == []
    finally:
        peers.current.reset(token)


@pytest.mark.engines("memory")  # the test checks right after calling `publish`
@pytest.mark.gen_test
async def test_other_names_and_channels(queue, make_queue):
    """The cursor of a request counts once for each name and each channel."""
    ids = await queue.publish(*events(1, 2))
    peer = FakePeer(cursor=ids[0])
    for name in ("ann", "bob", None):
        queue.poll_once(name, peer.on_new_event, 0)
        queue.poll_once(name, peer.on_new_event, 0)
    assert peer.calls == [[2], []] * 3
    other = FakePeer(cursor=ids[0])
    make_queue("other").poll_once("ann", other.on_new_event, 0)
    assert other.calls == [["gap"]]


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_the_argument_wins(queue):
    """A cursor that is given as an argument counts in each call."""
    ids = await queue.publish(*events(1, 2, 3))
    peer = FakePeer(cursor=ids[1])
    for _ in range(2):
        queue.poll_once("ann", peer.on_new_event, 0, last_event_id=ids[0])
    assert peer.calls == [[2, 3], [2, 3]]


@pytest.mark.engines("memory", "distant")  # the test checks right after a poll, or checks `cursor`
@pytest.mark.gen_test
async def test_another_request(queue):
    """The cursor of each new request counts again."""
    ids = await queue.publish(*events(1, 2, 3))
    for _ in range(2):
        queue.poll_once("ann", (peer := FakePeer(cursor=ids[0])).answer, 0)
        assert peer.calls == [[2, 3]]
    taker = Taker()
    queue.poll_once("ann", taker, 0)
    assert taker.calls == [[]]
