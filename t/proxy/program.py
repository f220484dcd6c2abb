"""A server with one channel and an empty page."""

from tatsumaki_py import Application, Handler, PublishHandler, Server, SubscribeHandler, TatsumakiJS
from tatsumaki_py.push.framing import server_sent_events

# Milliseconds, so that tests need not wait for seconds.
server_sent_events.RETRY = 50, 100


class Page(Handler):
    def get(self):
        self.response.content_type = "text/html"
        self.write("<!doctype html><link rel=icon href=data:><title>Empty</title>")


app = Application(
    [
        ("/", Page),
        (r"/(tatsumaki\.js)", TatsumakiJS),
        (r"/events/(\w+)", SubscribeHandler),
        (r"/publish/(\w+)", PublishHandler),
    ]
)

if __name__ == "__main__":
    Server().run(app)
