"""Events that are published before the first poll, or between two polls, are delivered."""

import asyncio
import json

import pytest

from tatsumaki_py import Application, Handler, MessageQueue


class Poll(Handler):
    asynchronous = True

    def get(self, channel):
        mq = MessageQueue.instance(channel)
        mq.poll_once(self.request.param("client_id"), self.on_new_event)

    def on_new_event(self, *events):
        self.write(events)
        self.finish()


class Post(Handler):
    def post(self, channel):
        MessageQueue.instance(channel).publish({"text": self.request.param("text")})
        self.write({"success": 1})


@pytest.fixture
def app():
    return Application([(r"/(\w+)/poll", Poll), (r"/(\w+)/post", Post)])


@pytest.fixture
def poll(http_client, base_url):
    async def poll(client_id, channel="room"):
        answer = await http_client.fetch(f"{base_url}/{channel}/poll?client_id={client_id}")
        return [event["text"] for event in json.loads(answer.body)]

    return poll


@pytest.fixture
def post(http_client, base_url):
    async def post(text, channel="room"):
        url = f"{base_url}/{channel}/post"
        answer = await http_client.fetch(url, method="POST", body=f"text={text}")
        assert json.loads(answer.body) == {"success": 1}

    return post


@pytest.mark.gen_test
async def test_before_the_first(poll, post):
    """A client's first poll gets the events that were published before."""
    await post("a")
    await post("b")
    assert await poll("me") == ["a", "b"]


@pytest.mark.gen_test
async def test_between_two(poll, post):
    """The next poll gets the events published since the previous one, in order, each once."""
    await post("a")
    assert await poll("me") == ["a"]
    await post("b")
    await post("c")
    assert await poll("me") == ["b", "c"]
    waiting = asyncio.ensure_future(poll("me"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await post("d")
    assert await waiting == ["d"]


@pytest.mark.gen_test
async def test_other_channel(poll, post):
    """A poll of one channel does not get the events of another channel."""
    await post("a", "there")
    await post("b", "here")
    assert await poll("me", "here") == ["b"]


@pytest.mark.gen_test
async def test_poll_loop(poll, post):
    """A client that polls again after each answer gets a hundred messages in order, each once."""
    seen = []

    async def poll_all():
        while len(seen) < 100:
            seen.extend(await poll("me"))

    task = asyncio.ensure_future(poll_all())
    for n in range(100):
        await post(n)
    await task
    assert seen == [*map(str, range(100))]
