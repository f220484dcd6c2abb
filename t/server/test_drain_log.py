"""Errors of a program while its server stops are logged briefly, or not at all."""

import asyncio

import pytest
import tornado.ioloop
from support.subscriber import CLIENTS
from support.wire import soon

from tatsumaki_py import Application, MessageQueue, WebSocketHandler
from tatsumaki_py.logger import LineFormatter
from tatsumaki_py.testing import Ended


class Echo(WebSocketHandler):
    def open(self):
        MessageQueue.instance("room").poll("me", self.stream_write)

    def on_message(self, message):
        if message == "close":
            self.close(1001)
        self.write_message(message)


@pytest.fixture
def app():
    return Application([("/", Echo)])


@pytest.mark.gen_test
async def test_publishing(app, monkeypatch, expect_log):
    """If a timer or a task publishes during the stop, the log gets one line without a traceback."""
    monkeypatch.setattr(MessageQueue._registry, "closed", True)

    def publish():
        MessageQueue.instance("room").publish("late")

    async def work():
        publish()

    timer = tornado.ioloop.PeriodicCallback(publish, 1)
    with (
        expect_log("tornado.application", "Exception in callback") as timers,
        expect_log("tatsumaki", "work failed") as tasks,
    ):
        timer.start()
        app.spawn(work(), "work")
        await soon(lambda: timers and tasks)
        timer.stop()
    lines = [LineFormatter("%(message)s").format(one) for one in (*timers, *tasks)]
    assert [one for one in lines if "\n" in one] == []
    assert lines[-1] == "work failed: the server is stopping"


@pytest.mark.both_servers
@pytest.mark.gen_test
async def test_an_answer_on_a_closed_websocket(http_server, http_port):
    """If a handler answers a message after it has closed the WebSocket, nothing is logged."""
    client = CLIENTS["websocket"](http_port, "/")
    await client.open()
    await client.send(b"close", 0x1)
    await client.send(b"after", 0x1)
    with pytest.raises(Ended) as end:
        await client.next()
    assert end.value.args == (1001,)
    client.close()
    await asyncio.sleep(0.02)
