"""Channels beside a Bokeh document, in one Bokeh server.

Start the program, subscribe, and send a message:

    pip install bokeh
    python examples/recipes/bokeh_panel/bokeh_app.py

    curl -N 'http://127.0.0.1:5000/events/chat?transport=ndjson'
    curl http://127.0.0.1:5000/publish/chat -d text=hello
"""

import os

from bokeh.layouts import column
from bokeh.models import PreText, TextInput
from bokeh.server.server import Server
from live_routes import ROUTES, texts

from tatsumaki_py import MessageQueue

chat = MessageQueue.instance("chat")
sessions = MessageQueue.instance("sessions")


def page(document):
    """Makes the document of a new session. Bokeh calls this in a thread."""
    text = TextInput(title="Message", name="text")
    said = PreText(name="said")
    document.add_root(column(said, text))

    def begin():
        poll = chat.poll(None, show)
        document.on_session_destroyed(lambda context: poll.cancel())
        sessions.publish({"session": document.session_context.id})

    def show(*events):
        document.add_next_tick_callback(lambda: add(texts(events)))

    def add(lines):
        said.text = "\n".join([said.text, *lines])

    def say(attribute, old, new):
        if new:
            chat.publish({"text": new})
            text.value = ""

    text.on_change("value", say)
    document.add_next_tick_callback(begin)


def main():
    port = int(os.environ.get("PORT", "5000"))
    server = Server(
        {"/page": page},
        port=port,
        address="127.0.0.1",
        extra_patterns=ROUTES,
        cross_origin_protection=True,
    )
    server.io_loop.add_callback(print, f"Listening on http://127.0.0.1:{port}/", flush=True)
    server.run_until_shutdown()


if __name__ == "__main__":
    main()
