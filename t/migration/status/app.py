"""A status page: a timer publishes lines, for which a page polls. See app.psgi."""

from time import time

from tornado.ioloop import IOLoop, PeriodicCallback

from tatsumaki_py import Application, Error, Handler, MessageQueue, Server

started = time()
status = {"load": 0}


class PageHandler(Handler):
    def get(self):
        up = int(time() - started)
        self.write("<title>Status</title>", f"<p>Up for {up} seconds</p>\n")
        for name in sorted(status):
            self.write(f"<p>{name}: <b id={name}>", status[name], "</b></p>\n")


class PollHandler(Handler):
    asynchronous = True

    def get(self):
        client_id = self.request.param("client_id") or Error.HTTP.throw(400, "'client_id' needed")
        mq = MessageQueue.instance("status")
        mq.poll_once(client_id, self.on_lines, 10)

    def on_lines(self, *lines):
        self.write([line for line in lines if not line.gap])
        self.finish()


class LaterHandler(Handler):
    asynchronous = True

    def get(self, name):
        name in status or Error.HTTP.throw(404, "no such status")
        self.response.content_type = "text/plain"
        self.log("asked for ", name)
        IOLoop.current().call_later(0.1, self.async_cb(lambda: self.finish(status[name])))


def tick():
    status["load"] += 1
    MessageQueue.instance("status").publish(f"load {status['load']}")


PeriodicCallback(tick, 200).start()

app = Application(
    [
        ("/poll", PollHandler),
        (r"/status/(\w+)", LaterHandler),
        ("/", PageHandler),
    ]
)

if __name__ == "__main__":
    Server().run(app)
