"""A Bokeh server with a channel among its patterns."""

import os

from bokeh.models import Paragraph
from bokeh.server.server import Server

from tatsumaki_py import MessageQueue, PublishHandler, SubscribeHandler


def page(document):
    document.add_root(Paragraph(text="bokeh"))
    # What happens on a page may be published.
    MessageQueue.instance("sessions").publish({"session": document.session_context.id})


def main():
    port = int(os.environ["PORT"])
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
