"""One stream may carry several channels, each of which keeps its own place."""

import asyncio

import pytest
from message_queue.fakes import numbers
from support.answers import until

from tatsumaki_py import Application, Handler, MessageQueue


class Both(Handler):
    asynchronous = True

    def get(self):
        self.multipart_xhr_push(True)
        for channel in ("one", "two"):
            MessageQueue.instance(channel).poll("me", self.on_new_event)

    def on_new_event(self, *events):
        for event in events:
            self.stream_write(event)


@pytest.fixture
def app():
    return Application([("/", Both)])


@pytest.mark.gen_test
async def test_unsent_events_of_both(http_server, http_port, raw):
    """If a stream is cut off while events of both channels are unsent, they come again without a
    gap. Events that the client read also come again, as only the client knows about them.
    """
    queues = [MessageQueue.instance(channel) for channel in ("one", "two")]
    client = await raw(http_port)
    await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await until(lambda: all("me" in queue.clients for queue in queues))
    for queue in queues:
        queue.publish({"n": 1})
        await asyncio.sleep(0.02)
    await client.read_until(b'{"n":1}')
    await client.read_until(b'{"n":1}')
    client.reset()
    for queue in queues:
        queue.publish({"n": 2})
    await until(lambda: not any(queue.clients["me"].listener for queue in queues))
    got = [numbers(await queue.poll_once("me", timeout=0)) for queue in queues]
    assert got == [[1, 2], [1, 2]]
