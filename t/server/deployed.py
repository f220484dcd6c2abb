"""A server that is replaced by another one while clients connect and publish."""

import os

from tatsumaki_py import Application, Handler, PublishHandler, Server, SubscribeHandler


class Process(Handler):
    """Answers with the id of the process."""

    def get(self):
        self.write([os.getpid()])


app = Application(
    [
        ("/", Process),
        (r"/events/(\w+)", SubscribeHandler),
        (r"/publish/(\w+)", PublishHandler),
    ]
)

if __name__ == "__main__":
    Server(reuse_port=True).run(app)
