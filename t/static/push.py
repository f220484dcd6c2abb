"""A second server, which allows pages from the origin PAGES to subscribe and publish."""

import os

from tatsumaki_py import (
    Application,
    Error,
    PublishHandler,
    Server,
    SubscribeHandler,
    TatsumakiJS,
)

PAGES = (os.environ["PAGES"],)


class Events(SubscribeHandler):
    allowed_origins = PAGES


class Keyed(Events):
    def prepare(self):
        if self.request.headers.get("X-Api-Key") != "key":
            Error.HTTP.throw(401, "a key is needed")


class Closed(SubscribeHandler):
    """Allows no other origin."""


class Publish(PublishHandler):
    allowed_origins = PAGES


app = Application(
    [
        (r"/(tatsumaki\.js)", TatsumakiJS),
        (r"/events/(\w+)", Events),
        (r"/keyed/(\w+)", Keyed),
        (r"/closed/(\w+)", Closed),
        (r"/publish/(\w+)", Publish),
    ],
    cross_origin_protection=True,
)

if __name__ == "__main__":
    Server().run(app)
