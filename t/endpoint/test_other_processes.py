"""With several processes, hooks are called once in total, and `disconnect` applies to all
processes.
"""

import json
import time

import pytest
from message_queue.fakes import turn
from support.answers import until

from tatsumaki_py import Application, MessageQueue, SubscribeHandler

calls = []


class Events(SubscribeHandler):
    def initialize(self, kind="plain"):
        self.kind = kind

    def group(self):
        return self.request.param("user")

    async def on_subscribe(self, channel):
        calls.append(f"+{channel} {self.client_id()}")

    async def on_unsubscribe(self, channel):
        calls.append(f"-{channel} {self.client_id()} {self.kind}")


class Quiet(SubscribeHandler):
    pass


class News(Events):
    pass


HOOK = "test_other_processes.Events"
ROOM = ("room",)


@pytest.fixture
def app():
    return Application(
        [
            (r"/events/(\w+)", Events, {"kind": "known"}),
            (r"/news", News),
            (r"/quiet/(\w+)", Quiet),
        ]
    )


@pytest.fixture
def other(other_process):
    """The presence of another process, without real clients."""
    MessageQueue._registry.processes.hooks.clear()
    calls.clear()
    return other_process


async def sse(ask, path):
    client = await ask(f"GET {path}", "Accept: text/event-stream")
    await client.read_until(b"\n\n")
    return client


@pytest.mark.gen_test
async def test_hooks(ask, other):
    """A client that moves between processes neither arrives again nor leaves."""
    client = await sse(ask, "/events/room?client_id=me")
    await until(lambda: calls == ["+room me"])
    assert other.store.present[ROOM, "me"][1] == HOOK
    assert not await other.arrive(ROOM, "me", HOOK, 30.0)
    assert b"data" not in await client.read_all()
    client = await sse(ask, "/events/room?client_id=me")
    await until(lambda: other.clients.taken)
    await turn(40)
    assert calls == ["+room me"]
    # Other processes believed that this one had died, and called the hook.
    MessageQueue._registry.processes.present_again(ROOM, "me")
    await until(lambda: calls == ["+room me", "+room me"])
    client.close()
    await until(lambda: calls[2:] == ["-room me known"])


@pytest.mark.gen_test
async def test_the_other_process_has_ended(fetch, ask, other):
    """If another process dies, `on_unsubscribe` is called on a handler that has the client's name
    and channels.
    """
    here = MessageQueue._registry.engine.presence
    await other.arrive(("hall", "room"), "a&b\udcff", HOOK, 30.0)
    other.alive = False
    here.sweep()
    assert calls == []
    assert (await fetch("/events/room?timeout=0&client_id=you")).code == 200
    await until(lambda: calls)
    here.sweep()
    await turn()
    # The parameter is not valid UTF-8.
    name = "a&b" + "\ufffd" * 3
    assert calls == ["+room you", f"-hall {name} known", f"-room {name} known"]
    client = await sse(ask, "/quiet/room?client_id=she")
    assert other.store.present[ROOM, "she"][1] == ""
    client.close()


@pytest.mark.gen_test
async def test_disconnect(ask, other):
    """A user's connections to a class, by its name, end in all processes."""
    assert Events.disconnect("ann") == 0
    assert News.disconnect(7) == 0
    await until(lambda: len(other.clients.received) == 2)
    first = json.loads(other.clients.received[0])
    assert (first["kind"], first["group"]) == (HOOK, "ann")
    assert 0 <= time.time() - first["time"] < 60
    ann, bob = await sse(ask, "/events/room?user=ann"), await sse(ask, "/events/room?user=bob")
    seven, of_news = await sse(ask, "/events/a?user=7"), await sse(ask, "/news?channel=a&user=7")
    receive = MessageQueue._registry.processes.receive
    receive(json.dumps({**first, "kind": "elsewhere.Events"}).encode())
    for message in other.clients.received:
        receive(message)
    assert b"data" not in await ann.read_all() + await of_news.read_all()
    await MessageQueue.instance("room").publish("here")
    assert b"here" in await bob.read_until(b"\n\n")
    bob.close()
    seven.close()
