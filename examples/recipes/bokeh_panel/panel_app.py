"""Channels beside a Panel app whose callbacks run in threads.

    pip install panel
    python examples/recipes/bokeh_panel/panel_app.py

The command of Panel serves the same app:

    cd examples/recipes/bokeh_panel
    panel serve panel_app.py --port 5000 --plugins live_routes

    curl -N 'http://127.0.0.1:5000/events/chat?transport=ndjson'
    curl http://127.0.0.1:5000/publish/chat -d text=hello
"""

import os

import panel as pn
from live_routes import ROUTES, texts

from tatsumaki_py import MessageQueue

pn.config.nthreads = 4
chat = MessageQueue.instance("chat")


def page():
    """Makes the page of a new session."""
    text = pn.widgets.TextInput(name="Message")
    said = pn.pane.Str("")
    document = pn.state.curdoc

    def begin():
        poll = chat.poll(None, show)
        pn.state.on_session_destroyed(lambda context: poll.cancel())

    def show(*events):
        document.add_next_tick_callback(lambda: add(texts(events)))

    def add(lines):
        said.object = "\n".join([said.object, *lines])

    def say(event):
        if event.new:
            chat.publish({"text": event.new}).result(timeout=5)  # this is a thread
            text.value = ""

    text.param.watch(say, "value")
    document.add_next_tick_callback(begin)
    return pn.Column(said, text)


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "5000"))
    server = pn.serve(
        {"page": page},
        port=port,
        address="127.0.0.1",
        show=False,
        start=False,
        extra_patterns=ROUTES,
        cross_origin_protection=True,
    )
    server.io_loop.add_callback(print, f"Listening on http://127.0.0.1:{port}/", flush=True)
    server.run_until_shutdown()
elif pn.state.curdoc:
    page().servable()
