"""A server for publishers, with URLs at which publishing fails in various ways."""

from tatsumaki_py import Application, Error, MessageQueue, PublishHandler, Server, SubscribeHandler

# A long log, so that a test sees all events that it has published.
MessageQueue.backlog_length = 1000

asked = {}


def first(name):
    """Whether this is the first request with this name."""
    asked[name] = asked.get(name, 0) + 1
    return asked[name] == 1


class Lossy(PublishHandler):
    """Publishes, but loses the answer to the first request for a channel."""

    async def post(self, channel):
        await super().post(channel)
        if first(channel):
            self.request.connection.stream.close()


class Busy(PublishHandler):
    """Answers the first request for a channel with 503 and a Retry-After."""

    def can_publish(self, channel):
        if first(channel):
            raise Error.HTTP(503, "busy", retry_after=int(channel.rpartition("-")[2]))
        return True


class Silent(PublishHandler):
    """Never answers."""

    async def post(self, channel):
        await MessageQueue.instance("nothing").poll_once("me", timeout=1000)


class Private(PublishHandler):
    def can_publish(self, channel):
        return self.request.headers.get("Authorization") in ("Bearer t", "Basic dTpww6Q=")


class Page(PublishHandler):
    def post(self, channel):
        self.write("a page")


class Ending(PublishHandler):
    may_end = True


app = Application(
    [
        (r"/publish/(.+)", PublishHandler),
        (r"/events/(.+)", SubscribeHandler),
        (r"/ending/(.+)", Ending),
        (r"/lossy/(.+)", Lossy),
        (r"/busy/(.+)", Busy),
        (r"/silent/(.+)", Silent),
        (r"/private/(.+)", Private),
        (r"/page/(.+)", Page),
    ]
)

if __name__ == "__main__":
    Server(grace=0.2, drain_time=0.1).run(app)
