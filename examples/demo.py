"""The original's ``eg/demo.pl``, line for line. Run it with ``make demo``.

``/`` says hello; ``/stream`` tells the time, ten times a second (``curl -N``); ``/feed/tornado``
fetches a list of entries. The feed that the original fetches no longer exists: ``ApiHandler``
replaces it, and the demo needs no Internet.
"""

import json
from time import time

from tornado.escape import xhtml_escape
from tornado.ioloop import PeriodicCallback

from tatsumaki_py import Application, Error, Handler, HTTPClient, Server


class MainHandler(Handler):
    def get(self):
        self.write("Hello World")


class StreamWriter(Handler):
    asynchronous = True
    timer = None

    def get(self):
        self.response.content_type = "text/plain"

        self.tries = 0
        self.timer = PeriodicCallback(self.async_cb(self.tick), 100)
        self.timer.start()
        self.tick()

    def tick(self):
        self.stream_write(f"Current UNIX time is {int(time())}\n")
        self.tries += 1
        if self.tries > 10:
            self.finish()

    def on_finish(self):
        if self.timer:
            self.timer.stop()


class FeedHandler(Handler):
    asynchronous = True

    def get(self, query):
        client = HTTPClient()
        client.get(f"{self.api()}/v2/feed/{query}", self.async_cb(self.on_response))

    def on_response(self, res):
        if res.is_error:
            Error.HTTP.throw(500, res.status_line)
        feed = json.loads(res.content)

        self.response.content_type = "text/html;charset=utf-8"
        self.write(f"<p>Fetched {len(feed['entries'])} entries from API</p>")
        for entry in feed["entries"]:
            self.write(f"<li>{xhtml_escape(entry['body'])}</li>\n")
        self.finish()

    def api(self):
        """The URL of this server, from the address of the request."""
        env = self.request.env
        host = env["SERVER_NAME"]
        return f"http://{f'[{host}]' if ':' in host else host}:{env['SERVER_PORT']}"


class ApiHandler(Handler):
    def get(self, query):
        self.write({"entries": [{"body": f"{query} {number}"} for number in range(3)]})


app = Application(
    [
        ("/stream", StreamWriter),
        (r"/feed/(\w+)", FeedHandler),
        (r"/v2/feed/(\w+)", ApiHandler),
        ("/", MainHandler),
    ]
)

if __name__ == "__main__":
    Server().run(app)
