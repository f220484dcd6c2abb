"""A chat that was moved from sockjs-tornado, and its old endpoint for pages that still use SockJS.

Start the program, subscribe, and send a message:

    pip install sockjs-tornado  # only for the old endpoint
    python examples/recipes/from_sockjs_tornado.py

    curl -N 'http://127.0.0.1:5000/chat/events?transport=ndjson'
    curl http://127.0.0.1:5000/chat/say -d text=hello
"""

import asyncio

from tornado.web import Application, RequestHandler

from tatsumaki_py import MessageQueue, Server, SubscribeHandler, TatsumakiJS

try:
    from sockjs.tornado import SockJSConnection, SockJSRouter
except ImportError:
    SockJSConnection = SockJSRouter = None

chat = MessageQueue.instance("chat")


class Chat(SubscribeHandler):
    def channels(self):
        return ["chat"]

    def on_subscribe(self, channel):
        chat.publish("Someone joined.")

    def on_unsubscribe(self, channel):
        chat.publish("Someone left.")

    def on_message(self, message):
        chat.publish(str(message))


class Say(RequestHandler):
    async def post(self):
        await chat.publish(self.get_argument("text"))


class Page(RequestHandler):
    def get(self):
        self.write(PAGE.replace("{cursor}", chat.cursor()))


if SockJSConnection:

    class OldChat(SockJSConnection):
        """Connects the pages that still use SockJS to the same channel."""

        def on_open(self, info):
            self.poll = chat.poll(None, self.on_events, last_event_id=chat.cursor())
            chat.publish("Someone joined.")

        def on_message(self, message):
            chat.publish(str(message))

        def on_close(self):
            self.poll.cancel()
            chat.publish("Someone left.")

        def on_events(self, *events):
            for event in events:
                if not event.gap:
                    self.send(event.data)


PAGE = """<!doctype html>
<title>Chat</title>
<ul id="chat" data-cursor="{cursor}"></ul>
<form><input name="text" required> <button>Say</button></form>
<script type="module">
  import { Subscription } from "/tatsumaki.js";

  const list = document.getElementById("chat");
  const form = document.querySelector("form");
  const show = text => list.appendChild(document.createElement("li")).textContent = text;
  new Subscription("/chat/events", {
    lastEventId: list.dataset.cursor,
    onEvent: show,
    onGap: () => show("(some messages are missing)"),
  });
  form.addEventListener("submit", async event => {
    event.preventDefault();
    const body = new URLSearchParams(new FormData(form));
    if ((await fetch("/chat/say", { method: "POST", body })).ok) form.reset();
  });
</script>
"""


async def main():
    routes = [
        ("/", Page),
        ("/chat/events", Chat),
        ("/chat/say", Say),
        (r"/(tatsumaki\.js)", TatsumakiJS),
    ]
    if SockJSRouter:
        # A router starts timers on the event loop, so it is made while the loop runs.
        routes += SockJSRouter(OldChat, "/sockjs").urls
    await Server().serve(Application(routes, cross_origin_protection=True))


if __name__ == "__main__":
    asyncio.run(main())
