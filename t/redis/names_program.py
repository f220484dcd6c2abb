"""A chat for tests, whose processes share a Redis; it prints the calls of its hooks."""

import os

from tatsumaki_py import (
    Application,
    Handler,
    MessageQueue,
    PublishHandler,
    Server,
    SubscribeHandler,
)
from tatsumaki_py.message_queue.engine.redis.presence import lives

lives.BEAT_INTERVAL, lives.LIFE = 0.1, 1.0
MessageQueue.reconnect_time = float(os.environ.get("RECONNECT_TIME", "0.5"))


class Events(SubscribeHandler):
    max_stream_time = None

    def initialize(self, kind):
        self.kind = kind

    def group(self):
        return self.request.param("user")

    async def on_subscribe(self, channel):
        if self.client_id():
            print(f"+{channel} {self.client_id()}", flush=True)

    async def on_unsubscribe(self, channel):
        if self.client_id():
            print(f"-{channel} {self.client_id()} {self.kind}", flush=True)


class Plain(Handler):
    """A handler that polls the queue itself, with a closure that belongs to this process."""

    asynchronous = True

    def get(self, name):
        self.server_sent_events(True)
        queue = MessageQueue.instance("room")
        queue.poll(
            name, self.stream_write, on_unsubscribe=lambda: print(f"closure {name}", flush=True)
        )


class Count(Handler):
    async def get(self):
        queue = MessageQueue.instance("room")
        self.write([queue.subscribers, await queue.count_subscribers()])


class Kick(Handler):
    def get(self, user):
        self.write([Events.disconnect(user)])


class End(Handler):
    def get(self, name):
        self.write([int(MessageQueue.instance("room").disconnect(name))])


app = Application(
    [
        (r"/events/(\w+)", Events, {"kind": "kept"}),
        (r"/events", Events, {"kind": "kept"}),
        (r"/plain/(\w+)", Plain),
        (r"/publish/(\w+)", PublishHandler),
        (r"/count", Count),
        (r"/kick/(\w+)", Kick),
        (r"/end/(\w+)", End),
    ]
)

if __name__ == "__main__":
    Server(grace=0.2).run(app)
