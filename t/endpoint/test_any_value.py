"""Every kind of JSON value arrives unchanged over every transport."""

import json

import pytest
from support.json_values import same
from tornado.httpclient import AsyncHTTPClient

from tatsumaki_py import MessageQueue

VALUES = [
    "text",
    "",
    "line\r\nline\n\u2028",
    '{"type":"gap","after":"1-0"}',
    ["a", 1, {"b": None}],
    [],
    [{"type": "gap", "after": "1-0"}],
    {"n": 1},
    {},
    5,
    0,
    -1.5,
    True,
    False,
    None,
]


@pytest.mark.gen_test
async def test_every_transport(subscriber, queue, transport):
    """Values arrive unchanged, one by one and in a burst, and each moves the cursor."""
    client = subscriber(transport, cursor=queue.cursor())
    await client.start()
    for value in VALUES:
        queue.publish(value)
        same(await client.take(1), [value])
        assert client.cursor == queue.cursor()
    queue.publish(*VALUES)
    same(await client.take(len(VALUES)), VALUES)
    assert client.cursor == queue.cursor()


@pytest.mark.gen_test
async def test_of_several_channels(subscriber, transport):
    """Each value of several channels arrives with the name of its channel."""
    a, b = MessageQueue.instance("a"), MessageQueue.instance("b")
    cursor = MessageQueue.instance("a", "b").cursor()
    client = subscriber(transport, path="/events", channel=["a", "b"], cursor=cursor)
    await client.start()
    for queue in (a, b):
        queue.publish(*VALUES)
    for queue in (a, b):
        for value in VALUES:
            message = await client.next()
            same(message.data, value)
            assert (message.channel, message.gap) == (queue.channel, False)


@pytest.mark.gen_test
async def test_with_a_codec_of_the_handler(subscriber, queue, handler, transport):
    """The handler's own encoder gets plain values and encodes them again."""
    handler.json = json.JSONEncoder(indent=1)
    client = subscriber(transport, cursor=queue.cursor())
    await client.start()
    queue.publish(*VALUES)
    same(await client.take(len(VALUES)), VALUES)


@pytest.mark.gen_test
async def test_the_type_of_an_event(subscriber, queue):
    """With `event_type`, only an object with a type sets the type of a Server-Sent Event."""
    client = subscriber("sse", cursor=queue.cursor(), event_type=1)
    await client.start()
    for value in ['"type"', ["type", '\\u"type"'], {"type": "join"}, None, [{"type": "join"}]]:
        queue.publish(value)
        same(await client.take(1), [value])
        assert client.messages[-1].event == ("join" if isinstance(value, dict) else None)


@pytest.mark.gen_test
async def test_posted(subscriber, http_server, base_url, queue, transport):
    """A client can publish any value; a list is several events."""
    client = subscriber(transport, cursor=queue.cursor())
    await client.start()
    for body in (json.dumps(VALUES), *(json.dumps(v) for v in VALUES if not isinstance(v, list))):
        headers = {"Content-Type": "application/json"}
        await AsyncHTTPClient().fetch(
            f"{base_url}/publish/room", method="POST", body=body, headers=headers
        )
    plain = [value for value in VALUES if not isinstance(value, list)]
    same(await client.take(len(VALUES) + len(plain)), [*VALUES, *plain])
