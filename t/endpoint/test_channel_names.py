"""The route or the query of a request names its channels."""

import json

import pytest
from support.wire import soon

from tatsumaki_py import Application, MessageQueue, PublishHandler, SubscribeHandler


class Many(SubscribeHandler):
    max_channels = 25


class Paths(SubscribeHandler):
    def channels(self):
        return ["/".join(self.path_args)]


class Publish(PublishHandler):
    async def channels(self):
        return [self.path_kwargs["room"]]


@pytest.fixture
def app():
    return Application(
        [
            ("/many", Many),
            (r"/optional(?:/(\w+))?", SubscribeHandler),
            (r"/either/(?:a-(\w+)|b-\w+)", SubscribeHandler),
            (r"/two/(\w+)/(\w+)", SubscribeHandler),
            (r"/named/(?P<site>\w+)/(?P<room>\w+)", PublishHandler),
            (r"/ours/(\w+)/(\w+)", Paths),
            (r"/ours/(?P<site>\w+)/(?P<room>\w+)/publish", Publish),
        ]
    )


POLL = "transport=interval-poll"


@pytest.mark.gen_test
async def test_as_many_as_the_handler_allows(subscriber, stream):
    """A request may name up to `max_channels` channels, and one cursor covers all of them."""
    names = [f"room{number}" for number in range(25)]
    client = subscriber(stream, path="/many", channel=names)
    assert (await client.open()).status in (200, 101)
    both = MessageQueue.instance(*names)
    await soon(lambda: both.subscribers == 1)
    for name in names:
        MessageQueue.instance(name).publish({"in": name})
    assert [message["in"] for message in await client.take(25)] == names
    client.close()
    MessageQueue.instance(names[7]).publish({"n": 1})
    again = subscriber("long-poll", path="/many", channel=names, cursor=client.cursor)
    assert await again.take(1) == [{"n": 1}]


@pytest.mark.gen_test
async def test_one_more(fetch):
    """A request with one channel more than `max_channels` is answered with 400."""
    query = "&".join(f"channel=c{number}" for number in range(26))
    answer = await fetch(f"/many?{query}")
    assert (answer.code, answer.body) == (400, b"26 channels, but at most 25 are allowed")


@pytest.mark.parametrize("number", [0, -1, 201, 10**9])
def test_the_limit_of_the_limit(number):
    """`max_channels` has a limit: a cursor of more channels would not fit in a header."""
    with pytest.raises(ValueError, match=f"max_channels must be 1 to 200, not {number}"):
        type("Wrong", (SubscribeHandler,), {"max_channels": number})


@pytest.mark.parametrize("path", ["/optional/room", "/either/a-room"])
@pytest.mark.gen_test
async def test_a_group(fetch, path):
    """The text that a group of the route matched is the name of the channel."""
    MessageQueue.instance("room").publish({"n": 1})
    answer = await fetch(f"{path}?{POLL}&channel=other")
    assert json.loads(answer.body) == [{"n": 1}]


@pytest.mark.parametrize("path", ["/optional", "/either/b-room"])
@pytest.mark.gen_test
async def test_a_group_that_took_no_part(fetch, path):
    """If the group of the route matched nothing, the channel is taken from the query."""
    MessageQueue.instance("room").publish({"n": 1})
    answer = await fetch(f"{path}?{POLL}&channel=room")
    assert json.loads(answer.body) == [{"n": 1}]
    answer = await fetch(f"{path}?{POLL}")
    assert (answer.code, answer.body) == (400, b"missing parameter: channel")


@pytest.mark.parametrize(
    ("path", "method", "name"),
    [("/two/a/b", "GET", "SubscribeHandler"), ("/named/a/b", "POST", "PublishHandler")],
)
@pytest.mark.gen_test
async def test_several_groups(fetch, expect_log, path, method, name):
    """A route with two groups causes a 500, and the log says to override `channels`."""
    with expect_log("tornado.application", "Uncaught exception") as records:
        answer = await fetch(path, method=method, body="{}" if method == "POST" else None)
    assert answer.code == 500
    error = records[0].exc_info[1]
    assert str(error).startswith(f"the route of {name} has 2 groups: override channels() to choose")


@pytest.mark.gen_test
async def test_several_groups_and_their_channels(fetch):
    """A handler that overrides `channels` may have a route with several groups."""
    headers = {"Content-Type": "application/json"}
    answer = await fetch("/ours/a/b/publish", method="POST", headers=headers, body='{"n":1}')
    assert answer.code == 200
    assert MessageQueue.instance("b").backlog_events == [{"n": 1}]
    MessageQueue.instance("a/b").publish({"n": 2})
    assert json.loads((await fetch(f"/ours/a/b?{POLL}")).body) == [{"n": 2}]
