"""The chats of Tornado's demos ``chat`` and ``websocket``, in one `tornado.web.Application`.

Start the program, subscribe, and send a message:

    python examples/recipes/from_tornado_demos/app.py

    curl -N 'http://127.0.0.1:5000/chat/updates?transport=ndjson'
    curl http://127.0.0.1:5000/chat/new -d body=hello
"""

import asyncio
import os
from pathlib import Path

import tornado.web
from tornado.escape import to_unicode
from tornado.options import define, options, parse_command_line

from tatsumaki_py import MessageQueue, SubscribeHandler, TatsumakiJS

define("port", default=int(os.environ.get("PORT", "5000")), help="run on the given port", type=int)
define("debug", default=False, help="run in debug mode", type=bool)

HERE = Path(__file__).parent
chat = MessageQueue.instance("chat")
chat.backlog_length = 200  # messages that a new page shows
counts = MessageQueue.instance("counts")
counts.backlog_length = 1


class Page(tornado.web.RequestHandler):
    async def get(self):
        await chat.ready()
        # Without an await between the two reads, the page subscribes right after its last message.
        cursor = MessageQueue.instance("chat", "counts").cursor()
        self.render("page.html", messages=chat.backlog_events, cursor=cursor)


class New(tornado.web.RequestHandler):
    async def post(self):
        await say(self, self.get_argument("body"))


class Updates(SubscribeHandler):
    def channels(self):
        return ["chat", "counts"]

    async def on_subscribe(self, channel):
        if channel == "chat":
            await counts.publish({"here": await chat.count_subscribers()})

    on_unsubscribe = on_subscribe


class Socket(Updates):
    """The same channels, for clients that also send messages over their WebSocket."""

    async def on_message(self, message):
        await say(self, message)


async def say(handler, body):
    html = handler.render_string("message.html", body=body)
    await chat.publish({"body": body, "html": to_unicode(html)})


def make_app():
    return tornado.web.Application(
        [
            ("/", Page),
            ("/chat/new", New),
            ("/chat/updates", Updates),
            ("/chat/socket", Socket),
            (r"/(tatsumaki\.js)", TatsumakiJS),
        ],
        template_path=HERE / "templates",
        cross_origin_protection=True,
        debug=options.debug,
    )


async def main():
    parse_command_line()
    make_app().listen(options.port, "127.0.0.1")
    print(f"Listening on http://127.0.0.1:{options.port}/", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
