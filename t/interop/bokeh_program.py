"""A Bokeh server with a channel among its patterns."""

import os

from bokeh.models import Paragraph
from bokeh.server.server import Server

from tatsumaki_py import MessageQueue, PublishHandler, SubscribeHandler


def announce(session):
    MessageQueue.instance("sessions").publish({"session": session})


def main():
    port = int(os.environ["PORT"])

    def page(document):
        document.add_root(Paragraph(text="bokeh"))
        # Bokeh calls this in a thread.
        server.io_loop.add_callback(announce, document.session_context.id)

    server = Server(
        {"/page": page},
        port=port,
        address="127.0.0.1",
        extra_patterns=[("/events/(.*)", SubscribeHandler), ("/publish/(.*)", PublishHandler)],
    )
    server.io_loop.add_callback(print, f"http://127.0.0.1:{port}/", flush=True)
    server.run_until_shutdown()


if __name__ == "__main__":
    main()
