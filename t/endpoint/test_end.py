"""When a channel ends, streams are finished, and subscribers that return are told to stop."""

import asyncio

import pytest
from support.wire import iterations, read_reply, soon
from tornado.httpclient import HTTPClientError

from tatsumaki_py import MessageQueue, PublishHandler, SubscribeHandler
from tatsumaki_py.testing import Ended

pytestmark = pytest.mark.both_servers

END = {"type": "end"}


@pytest.mark.gen_test
async def test_who_listens(subscriber, queue, transport):
    """A client of each transport gets the event and the end. Its stream is finished, and its next
    request is answered with 204 or closed with 1000.
    """
    client = subscriber(transport, cursor=queue.cursor())
    await client.start()
    queue.publish({"n": 1})
    await queue.end()
    assert await client.take(2) == [{"n": 1}, END]
    assert client.cursor == queue.cursor()
    if client.streams:
        with pytest.raises(Ended) as ended:
            await client.next()
        assert ended.value.args == ((1000,) if transport == "websocket" else ())
    await soon(lambda: not queue.subscribers)
    await is_over(subscriber(transport, cursor=client.cursor))


async def is_over(client):
    """Check that the client is told that there are no more events."""
    head = await client.open()
    if client.transport == "websocket":
        with pytest.raises(Ended) as ended:
            await client.next()
        assert ended.value.args == (1000,)
    else:
        assert head.status == 204
        assert head.headers["cache-control"].startswith("no-store")
        assert "content-type" not in head.headers


@pytest.mark.gen_test
async def test_who_comes_later(subscriber, queue, transport):
    """After the end, a client that resumes gets its missed events, and a new one gets the
    backlog.
    """
    first, _ = await queue.publish({"n": 1}, {"n": 2})
    await queue.end()
    late = subscriber(transport, cursor=first)
    await late.start()
    assert await late.take(2) == [{"n": 2}, END]
    new = subscriber(transport)
    await new.start()
    assert await new.take(3) == [{"n": 1}, {"n": 2}, END]
    await soon(lambda: not queue.subscribers)
    await is_over(subscriber(transport, cursor=new.cursor))


@pytest.mark.gen_test
async def test_nothing_but_the_end(subscriber, queue, transport):
    """A new client of a channel that has only an end is told immediately that the channel has
    ended.
    """
    await queue.end()
    if transport != "websocket":
        await is_over(subscriber(transport))
    await is_over(subscriber(transport, cursor=queue.cursor()))


@pytest.mark.gen_test
async def test_by_name(subscriber, queue):
    """A named client that has received the end is answered with 204 without a cursor."""
    queue.publish({"n": 1})
    await queue.end()
    client = subscriber("long-poll", client_id="ann")
    assert await client.take(2) == [{"n": 1}, END]
    again = subscriber("long-poll", client_id="ann")
    assert (await again.open()).status == 204


@pytest.mark.gen_test
async def test_it_goes_on(subscriber, queue, transport):
    """An event after the end is delivered like any other."""
    await queue.end()
    queue.publish({"n": 1})
    client = subscriber(transport, cursor=queue.backlog_events[0].id)
    await client.start()
    assert await client.take(1) == [{"n": 1}]


@pytest.mark.gen_test
async def test_a_slow_reader(http_server, raw_small, small_buffers, http_port, queue):
    """A stream is finished when its client has received everything, not before."""
    client = await raw_small(http_port)
    await client.send(b"GET /events/room?transport=ndjson HTTP/1.1\r\nHost: x\r\n\r\n")
    await soon(lambda: queue.clients)
    for n in range(40):
        queue.publish({"n": n, "text": "x" * 20_000})
    await queue.end()
    await asyncio.sleep(0.05)
    assert queue.subscribers == 1
    reply = await read_reply(client)
    lines = reply.body.splitlines()
    assert lines[-1] == b'{"id":"%b","data":{"type":"end"}}' % queue.cursor().encode()
    assert sum(b'"n":' in line for line in lines) == 40
    await soon(lambda: not queue.subscribers)


class Counting(SubscribeHandler):
    calls = ()

    def on_subscribe(self, channel):
        self.calls.append("+")

    def on_unsubscribe(self, channel):
        self.calls.append("-")


@pytest.mark.parametrize("handler", [Counting])
@pytest.mark.gen_test
async def test_presence(subscriber, queue, stream, handler, monkeypatch):
    """The hooks are called once; a client that is answered with 204 does not become a
    subscriber.
    """
    monkeypatch.setattr(Counting, "calls", [])
    client = subscriber(stream, cursor=queue.cursor(), client_id="ann")
    await client.start()
    await soon(lambda: Counting.calls == ["+"])
    await queue.end()
    await soon(lambda: Counting.calls == ["+", "-"])
    if stream != "websocket":
        assert (await subscriber(stream, cursor=queue.cursor()).open()).status == 204
    await iterations()
    assert Counting.calls == ["+", "-"]


@pytest.mark.gen_test
async def test_several_channels(subscriber, queue, stream):
    """A client of two channels gets each end, and its stream is finished at the last one."""
    other = MessageQueue.instance("other")
    both = MessageQueue.instance("other", "room")
    client = subscriber(stream, path="/events", channel=["room", "other"], cursor=both.cursor())
    await client.start()
    await queue.end()
    message = await client.next()
    assert (message.data, message.channel) == (END, "room")
    other.publish({"n": 1})
    await other.end()
    assert (await client.next()).data == {"n": 1}
    message = await client.next()
    assert (message.data, message.channel, message.id) == (END, "other", both.cursor())
    with pytest.raises(Ended):
        await client.next()


@pytest.mark.gen_test
async def test_the_form_of_a_handler(subscriber, queue, handler, stream):
    """JSON text that a handler makes of an event is not mistaken for the end."""
    handler.get_chunk = lambda self, event, *more: '{"type": "end"}'
    client = subscriber(stream, cursor=queue.cursor())
    await client.start()
    queue.publish({"n": 1})
    assert await client.take(1) == ['{"type": "end"}']


class Ending(PublishHandler):
    may_end = True


@pytest.mark.gen_test
async def test_over_http(http_client, base_url, queue, app):
    """A client can end a channel if `may_end` allows it; otherwise the answer is 403."""
    app.add_handlers(".*", [(r"/end/([\w.-]+)", Ending)])
    post = {"method": "POST", "headers": {"Content-Type": "application/json"}}

    async def refused(path, body):
        with pytest.raises(HTTPClientError) as error:
            await http_client.fetch(base_url + path, body=body, **post)
        return error.value.code, error.value.response.body

    assert await refused("/publish/room", ' {"type": "end"}\n') == (
        403,
        b"channels cannot be ended here",
    )
    assert (await refused("/end/room", '{"type":"end","n":1}'))[0] == 400
    assert (await refused("/end/room", '[{"type":"end"}]'))[0] == 400
    assert not queue.ended
    reply = await http_client.fetch(f"{base_url}/end/room", body=' {"type": "end"}\n', **post)
    assert reply.body == b'{"id":"%b"}' % queue.cursor().encode()
    assert queue.ended
