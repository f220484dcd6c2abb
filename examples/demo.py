"""Three small handlers of Tatsumaki: hello, a stream, a feed. Run it with ``make demo``."""

import json
from time import time

from tornado.ioloop import PeriodicCallback

from tatsumaki_py import Application, Error, Handler, HTTPClient, Server

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="color-scheme" content="light dark">
<title>Tatsumaki demo</title>
<h1>Hello World</h1>
<ul>
<li><a href="/stream">A stream</a>: the time, ten times a second (also with <code>curl -N</code>)
<li><a href="/feed/tornado">A feed</a>: fetched from this server, which answers later
</ul>
"""


class MainHandler(Handler):
    def get(self):
        self.write(PAGE)


class StreamHandler(Handler):
    asynchronous = True
    timer = None

    def get(self):
        self.response.content_type = "text/plain"
        self.left = 10
        self.timer = PeriodicCallback(self.async_cb(self.tick), 100)
        self.timer.start()

    def tick(self):
        self.stream_write(f"Current UNIX time is {time():.3f}\n")
        self.left -= 1
        if not self.left:
            self.finish()

    def on_finish(self):
        if self.timer:
            self.timer.stop()


class FeedHandler(Handler):
    asynchronous = True

    def get(self, query):
        # This server, at the address at which it was asked.
        host, port = self.request.connection.stream.socket.getsockname()[:2]
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        HTTPClient().get(f"{url}/api/feed/{query}", self.async_cb(self.on_response))

    def on_response(self, response):
        if response.is_error:
            Error.HTTP.throw(502, f"The feed answered {response.status_line}")
        entries = json.loads(response.content)["entries"]
        self.write(f"Fetched {len(entries)} entries from the API")
        self.finish()


class ApiHandler(Handler):
    def get(self, query):
        self.write({"entries": [{"title": f"{query} {number}"} for number in range(3)]})


app = Application(
    [
        ("/stream", StreamHandler),
        (r"/feed/(\w+)", FeedHandler),
        (r"/api/feed/(\w+)", ApiHandler),
        ("/", MainHandler),
    ]
)

if __name__ == "__main__":
    Server().run(app)
