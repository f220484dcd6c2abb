"""One timer limits how long a poll waits, and the other how long a client is remembered."""

import asyncio
import json

import pytest
from support.answers import until

from tatsumaki_py import Application, Handler, MessageQueue


class Poll(Handler):
    asynchronous = True

    def get(self):
        MessageQueue.instance("timer").poll_once("web", self.on_new_event)

    def on_new_event(self, *events):
        self.finish(events)


@pytest.fixture
def app():
    return Application([("/", Poll)])


@pytest.fixture
def mq():
    return MessageQueue.instance("timer")


@pytest.mark.gen_test
async def test_poll_waits_55_seconds(mq, clock):
    """The callback of a poll without events is called once, without events, after 55 s."""
    calls = []
    mq.poll_once("me", lambda *events: calls.append(events))
    await clock.advance(54.9)
    assert calls == []
    await clock.advance(0.2)
    assert calls == [()]
    await clock.advance(100)
    assert calls == [()]


@pytest.mark.gen_test
async def test_over_http(mq, clock, http_client, http_server, base_url):
    """A long poll over HTTP without events is answered with [] after 55 s."""
    answer = http_client.fetch(base_url, request_timeout=10**6)
    await until(lambda: "web" in mq.clients)
    await clock.advance(54.5)
    await asyncio.sleep(0.05)
    assert not answer.done()
    await clock.advance(0.6)
    assert json.loads((await answer).body) == []


@pytest.mark.gen_test
async def test_client_is_remembered_for_30_seconds(mq, clock):
    """A client is forgotten 30 s after the answer to its last poll, not after the poll itself."""
    mq.poll_once("me", lambda *events: None)
    await clock.advance(55.1)
    await clock.advance(29)
    assert [*mq.clients] == ["me"]
    mq.publish({"n": 1})
    await clock.advance(1.1)
    assert [*mq.clients] == []


@pytest.mark.gen_test
async def test_coming_back_starts_anew(mq, clock):
    """A client that comes back every 29 s is never forgotten."""
    for _ in range(5):
        await mq.poll_once("me", timeout=0)
        await clock.advance(29)
        mq.publish({"n": 1})
        assert await mq.poll_once("me") == [{"n": 1}]
        await clock.advance(29)


@pytest.mark.gen_test
async def test_each_has_its_own_time(mq, clock):
    """Each client is forgotten 30 s after it left, whenever other clients left."""
    for name in "abc":
        await mq.poll_once(name, timeout=0)
        await clock.advance(10)
    assert [*mq.clients] == ["b", "c"]
    await clock.advance(10)
    assert [*mq.clients] == ["c"]
    await clock.advance(10)
    assert [*mq.clients] == []


@pytest.mark.gen_test
async def test_reconnect_time_of_one_queue(mq, clock, monkeypatch):
    """`reconnect_time` can be set on a single queue."""
    monkeypatch.setattr(mq, "reconnect_time", 5)
    await mq.poll_once("me", timeout=0)
    await clock.advance(4.9)
    assert [*mq.clients] == ["me"]
    await clock.advance(0.2)
    assert [*mq.clients] == []
