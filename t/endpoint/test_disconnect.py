"""With `group` and `disconnect`, a user's streams and polls end immediately and are then
refused.
"""

import asyncio

import pytest
from support.wire import read_reply, soon

from tatsumaki_py import Application, Error, MessageQueue, SubscribeHandler
from tatsumaki_py.endpoint.groups import GROUPS
from tatsumaki_py.testing import Ended

pytestmark = pytest.mark.both_servers


class Events(SubscribeHandler):
    """The user comes from a cookie, as bytes. Banned users are refused."""

    banned = frozenset()
    hooks = ()

    def get_current_user(self):
        user = self.get_cookie("user")
        return user and user.encode()

    def group(self):
        return self.current_user

    def can_subscribe(self, channel):
        return self.current_user not in self.banned

    def on_subscribe(self, channel):
        self.hooks.append(f"+{channel}")

    def on_unsubscribe(self, channel):
        self.hooks.append(f"-{channel}")


class Other(Events):
    pass


class Talking(Events):
    """Tornado reads the messages of the clients of this class."""

    def on_message(self, message):
        self.hooks.append(message)
        if message == "log me out":
            self.hooks.append(self.disconnect("ann"))


class Opening(Events):
    """`open` does not return until the test allows it to."""

    last = None

    async def open(self, *args):
        Opening.last = self
        self.opened = asyncio.get_running_loop().create_future()
        await self.opened


class Waiting(Events):
    """`can_subscribe` waits until the test gives the answer."""

    last = None

    async def can_subscribe(self, channel):
        Waiting.last = self
        self.may = asyncio.get_running_loop().create_future()
        return await self.may


class Brief(Events):
    """A client of this class is disconnected as soon as it has subscribed."""

    def on_subscribe(self, channel):
        assert self.disconnect("ann") == 1


class LoggedOut(Events):
    def can_subscribe(self, channel):
        raise Error.HTTP(401, "log in")


class Unhashed(SubscribeHandler):
    def group(self):
        return {"id": 7}


@pytest.fixture
def app():
    Events.banned, Events.hooks = set(), []
    kinds = [Events, Other, Talking, Opening, Waiting, Brief, LoggedOut, Unhashed]
    rules = [(rf"/{kind.__name__.lower()}/([\w.-]+)", kind) for kind in kinds]
    yield Application([*rules, ("/events", Events)])
    # Objects that a class refers to would never be freed.
    Opening.last = Waiting.last = None


@pytest.fixture
def user(subscriber):
    """`client = await user(transport, "ann")` returns an open client that has subscribed."""

    async def user(transport, name, path="/events/room", **options):
        headers = {"Cookie": f"user={name}"} if name else {}
        client = subscriber(transport, path=path, headers=headers, **options)
        queue = MessageQueue.instance(*options.get("channel", ["room"]))
        count = queue.subscribers
        if client.streams:
            await client.open()
        else:
            await ask(client)
        await soon(lambda: queue.subscribers == count + 1)
        return client

    return user


async def ask(client):
    """Send the request on a new connection."""
    client.close()
    await client.request()


async def end_of(client):
    """Return how the connection ended: the status of a poll, the code of a WebSocket,
    otherwise 0.
    """
    async with asyncio.timeout(5):
        if not client.streams:
            return (await read_reply(client.connection)).status
        try:
            while True:
                await client.next()
        except Ended as ended:
            return ended.args[0] if ended.args else 0


LASTING = ["sse", "ndjson", "multipart", "websocket", "long-poll"]
CODES = {"long-poll": 403, "websocket": 4403}


@pytest.mark.parametrize("transport", LASTING)
@pytest.mark.parametrize("path", ["/events/room", "/events", "/talking/room"])
@pytest.mark.gen_test
async def test_at_once(user, transport, path):
    """The user's connection ends and its next request is refused; another user is not affected."""
    query = {"channel": ["a", "b"]} if path == "/events" else {}
    ann = await user(transport, "ann", path, **query)
    bob = await user(transport, "bob", path, **query)
    Events.banned.add(b"ann")
    assert Events.disconnect("ann") == 1
    assert await end_of(ann) == CODES.get(transport, 0)
    await ask(ann)
    assert (await read_reply(ann.connection)).status == 403
    MessageQueue.instance("a" if query else "room").publish({"n": 1})
    if transport == "long-poll":
        assert (await read_reply(bob.connection)).status == 200
    else:
        assert await bob.take(1) == [{"n": 1}]


@pytest.mark.parametrize("transport", LASTING)
@pytest.mark.gen_test
async def test_nothing_comes_after_it(user, transport, queue):
    """The user gets events published before `disconnect`, but none published after it. The client
    has left, and keeps its place in case it may return.
    """
    ann = await user(transport, "ann", client_id="ann's", timeout=20)
    if transport != "long-poll":
        queue.publish({"n": 1})
    Events.disconnect(b"ann")
    assert Events.hooks == ["+room", "-room"]
    queue.publish({"n": 2})
    if transport == "long-poll":
        assert await end_of(ann) == 403
    else:
        assert await ann.take(1) == [{"n": 1}]
        assert await end_of(ann) == CODES.get(transport, 0)
    again = await user("sse", "ann", client_id="ann's")
    assert await again.take(1) == [{"n": 2}]


@pytest.mark.gen_test
async def test_all_of_a_user(user, queue):
    """One call ends a user's connections on every transport; clients without a group stay."""
    clients = [await user(transport, "7") for transport in LASTING]
    stranger = await user("sse", None)
    assert SubscribeHandler.disconnect(7) == len(LASTING)
    assert SubscribeHandler.disconnect("7") == 0
    for client in clients:
        assert await end_of(client) == CODES.get(client.transport, 0)
    queue.publish({"n": 1})
    assert await stranger.take(1) == [{"n": 1}]
    assert queue.subscribers == 1


@pytest.mark.gen_test
async def test_of_a_class(user):
    """A class ends its own connections and those of its subclasses."""
    one = await user("sse", "ann")
    other = await user("sse", "ann", "/other/room")
    assert Other.disconnect("ann") == 1
    assert await end_of(other) == 0
    assert Events.disconnect("ann") == 1
    assert await end_of(one) == 0


@pytest.mark.parametrize("transport", LASTING)
@pytest.mark.gen_test
async def test_before_it_is_admitted(subscriber, queue, transport):
    """A request that waits for `can_subscribe` is refused, even if the answer is then True."""
    client = subscriber(transport, path="/waiting/room", headers={"Cookie": "user=ann"})
    await ask(client)
    handler = await soon(lambda: Waiting.last)
    assert Events.disconnect("ann") == 1
    handler.may.set_result(True)
    reply = await read_reply(client.connection)
    assert (reply.status, reply.body) == (403, b"Forbidden")
    assert not queue.clients


@pytest.mark.gen_test
async def test_before_it_is_open(subscriber, queue):
    """A WebSocket whose `open` has not returned is closed, and does not subscribe."""
    client = subscriber("websocket", path="/opening/room", headers={"Cookie": "user=ann"})
    await client.open()
    handler = await soon(lambda: Opening.last)
    assert Events.disconnect("ann") == 1
    handler.opened.set_result(None)
    assert await end_of(client) == 4403
    assert not queue.clients


@pytest.mark.gen_test
async def test_it_says_nothing_more(user):
    """Messages that arrive after the server's close frame do not reach the program."""
    client = await user("websocket", "ann", "/talking/room")
    await client.send(b"before", 0x1)
    await soon(lambda: "before" in Events.hooks)
    Events.disconnect("ann")
    await client.send(b"after", 0x1)
    assert await end_of(client) == 4403
    await client.send((4403).to_bytes(2), 0x8)
    assert await client.connection.read_all() == b""
    assert "after" not in Events.hooks


@pytest.mark.gen_test
async def test_in_a_callback(user, queue):
    """A callback of the queue may disconnect other listeners."""
    ann = await user("long-poll", "ann")
    stream = await user("ndjson", "ann")

    def callback(*events):
        Events.disconnect("ann")

    queue.poll("watch", callback)
    queue.publish({"n": 1})
    assert (await read_reply(ann.connection)).status == 200
    assert await end_of(stream) == 0
    assert queue.subscribers == 1


@pytest.mark.gen_test
async def test_by_a_message_of_the_user(user):
    """A handler may disconnect its own client."""
    ann = await user("websocket", "ann", "/talking/room")
    await ann.send(b"log me out", 0x1)
    assert await end_of(ann) == 4403
    assert Events.hooks == ["+room", "log me out", "-room", 1]


@pytest.mark.parametrize("transport", LASTING)
@pytest.mark.gen_test
async def test_by_a_hook_of_the_user(subscriber, queue, transport):
    """If `on_subscribe` disconnects the client before the stream has begun, the answer is 403."""
    client = subscriber(transport, path="/brief/room", headers={"Cookie": "user=ann"})
    if transport == "websocket":
        await client.open()
        assert await end_of(client) == 4403
    else:
        await ask(client)
        assert (await read_reply(client.connection)).status == 403
    assert Events.hooks == ["-room"]
    assert not queue.subscribers


@pytest.mark.parametrize("transport", [*LASTING, "interval-poll"])
@pytest.mark.gen_test
async def test_nothing_is_kept(user, subscriber, transport):
    """If a client leaves, both the client and its group are forgotten."""
    if transport == "interval-poll":
        client = subscriber(transport, path="/events/room", headers={"Cookie": "user=ann"})
        await client.open()
    else:
        client = await user(transport, "ann")
        assert len(GROUPS) == 1
    client.close()
    await soon(lambda: len(GROUPS) == 0)


@pytest.mark.gen_test
async def test_own_refusal(user):
    """`can_subscribe` sets the answer to a disconnected client that tries again."""
    ann = await user("sse", "ann")
    Events.disconnect("ann")
    assert await end_of(ann) == 0
    ann.url = ann.url.replace("/events/", "/loggedout/")
    await ask(ann)
    reply = await read_reply(ann.connection)
    assert (reply.status, reply.body) == (401, b"log in")


@pytest.mark.gen_test
async def test_mistakes(subscriber, expect_log):
    """Mistakes raise exceptions that name them."""
    with pytest.raises(TypeError, match="clients without a group"):
        SubscribeHandler.disconnect(None)
    with pytest.raises(TypeError, match=r"the group must be a str, bytes or int, .* not \['ann'\]"):
        SubscribeHandler.disconnect(["ann"])
    with pytest.raises(ValueError, match="the group is empty"):
        SubscribeHandler.disconnect("")
    with pytest.raises(RuntimeError, match="outside of the event loop"):
        await asyncio.to_thread(SubscribeHandler.disconnect, "ann")
    with expect_log("tornado.application", "Uncaught exception") as records:
        assert (await subscriber("sse", path="/unhashed/room").open()).status == 500
    assert "group() must be a str, bytes or int" in str(records[0].exc_info[1])
