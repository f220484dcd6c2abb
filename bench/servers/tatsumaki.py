"""tatsumaki_py: the queue part of the chat example, class for class; events are posted as JSON.
`SubscribeHandler` and `WebSocketHandler` serve the same channel. A datagram to the same port asks
the process itself to publish (loadgen.c, inside=1).
"""

import logging
import socket
import sys
from random import random

from tornado.escape import json_decode
from tornado.ioloop import IOLoop

from tatsumaki_py import (
    Application,
    Error,
    Handler,
    MessageQueue,
    MetricsHandler,
    Server,
    SubscribeHandler,
    WebSocketHandler,
)


class ChatPollHandler(Handler):
    asynchronous = True

    def get(self, channel):
        mq = MessageQueue.instance(channel)
        client_id = self.request.param("client_id") or Error.HTTP.throw(500, "'client_id' needed")
        if client_id == "dummy":
            client_id = str(random())
        mq.poll_once(client_id, self.on_new_event)

    def on_new_event(self, *events):
        self.write(events)
        self.finish()


class ChatMultipartPollHandler(Handler):
    asynchronous = True

    def get(self, channel):
        client_id = self.request.param("client_id") or str(random())
        self.multipart_xhr_push(True)
        MessageQueue.instance(channel).poll(client_id, self.on_new_event)

    def on_new_event(self, *events):
        for event in events:
            self.stream_write(event)


class ChatPostHandler(Handler):
    def post(self, channel):
        MessageQueue.instance(channel).publish(json_decode(self.request.body))
        self.write({"success": 1})


class Live(WebSocketHandler):
    def open(self, channel):
        MessageQueue.instance(channel).poll(None, self.on_new_event)

    def on_new_event(self, *events):
        for event in events:
            self.stream_write(event)


class Plain(Handler):
    def get(self):
        self.write("ok")


def publish_inside(datagrams, _events):
    order = json_decode(datagrams.recv(65536))
    first, count, channels, event = (order[k] for k in ("first", "count", "channels", "event"))
    for number in range(first, first + count):
        html = event["html"].replace("~00000000", f"~{number:08}")
        channel = f"room{number % channels}" if channels else "room"
        MessageQueue.instance(channel).publish({**event, "html": html})


chat_re = r"[\w.-]+"
app = Application(
    [
        (f"/chat/({chat_re})/poll", ChatPollHandler),
        (f"/chat/({chat_re})/mxhrpoll", ChatMultipartPollHandler),
        (f"/chat/({chat_re})/post", ChatPostHandler),
        (f"/subscribe/({chat_re})", SubscribeHandler),
        (f"/websocket/({chat_re})", Live),
        ("/plain", Plain),
        ("/metrics", MetricsHandler),
    ]
)

if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)  # no access log, as in the other servers
    port = int(sys.argv[1])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", port))
        IOLoop.current().add_handler(datagrams, publish_inside, IOLoop.READ)
        Server(host="127.0.0.1", port=port).run(app)
