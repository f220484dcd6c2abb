"""The chat of Tatsumaki, class for class. Run it with ``make chat``."""

import re
from html import escape
from pathlib import Path
from random import random
from time import time

from tornado.web import RedirectHandler

from tatsumaki_py import (
    Application,
    Error,
    Handler,
    MessageQueue,
    Server,
    SubscribeHandler,
    TatsumakiJS,
)


class ChatPollHandler(Handler):
    asynchronous = True

    def get(self, channel):
        mq = MessageQueue.instance(channel)
        client_id = self.request.param("client_id") or Error.HTTP.throw(500, "'client_id' needed")
        if client_id == "dummy":
            client_id = str(random())
        mq.poll_once(client_id, self.on_new_event)

    def on_new_event(self, *events):
        self.write(events)
        self.finish()


class ChatMultipartPollHandler(Handler):
    asynchronous = True

    def get(self, channel):
        client_id = self.request.param("client_id") or str(random())
        self.multipart_xhr_push(True)
        MessageQueue.instance(channel).poll(client_id, self.on_new_event)

    def on_new_event(self, *events):
        for event in events:
            self.stream_write(event)


class ChatPostHandler(Handler):
    def post(self, channel):
        v = self.request.parameters
        mq = MessageQueue.instance(channel)
        mq.publish(
            {
                "type": "message",
                "html": self.format_message(v["text"]),
                "ident": v.get("ident"),
                "avatar": v.get("avatar"),
                "name": v.get("name"),
                "address": self.request.address,
                "time": time(),
            }
        )
        self.write({"success": 1})

    def format_message(self, text):
        return re.sub(f"({link_re})", r'<a target="_blank" href="\1">\1</a>', escape(text))


class ChatRoomHandler(Handler):
    def get(self, channel):
        self.render("chat.html")


# For escaped text. Punctuation at the end is not part of a link; a closed pair of brackets is.
link_re = (
    r"https?://(?:(?:[.,:;!?*'\]}。]|&amp;|&#x27;)*+"
    r"(?:[^\s&().,:;!?*'\]}。]|\([^\s&()]*\))++)++"
)
chat_re = r"[\w.\-]+"
app = Application(
    [
        (f"/chat/({chat_re})/poll", ChatPollHandler),
        (f"/chat/({chat_re})/mxhrpoll", ChatMultipartPollHandler),
        (f"/chat/({chat_re})/post", ChatPostHandler),
        (f"/chat/({chat_re})", ChatRoomHandler),
        (f"/chat/({chat_re})/events", SubscribeHandler),
        (r"/(tatsumaki\.js)", TatsumakiJS),
        ("/", RedirectHandler, {"url": "chat/lobby", "permanent": False}),
    ],
    cross_origin_protection=True,
)
app.template_path = Path(__file__).parent / "templates"
app.static_path = Path(__file__).parent / "static"

if __name__ == "__main__":
    Server().run(app)
