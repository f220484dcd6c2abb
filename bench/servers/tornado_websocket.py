"""Plain Tornado: WebSockets, and `write_message` to every one of them."""

import asyncio
import sys

from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

sockets: set["Socket"] = set()


class Socket(WebSocketHandler):
    def open(self) -> None:
        sockets.add(self)

    def on_close(self) -> None:
        sockets.discard(self)


class Publish(RequestHandler):
    def post(self) -> None:
        event = self.request.body.decode()
        for socket in sockets:
            socket.write_message(event)
        self.write("ok")


async def main() -> None:
    app = Application([("/stream", Socket), ("/publish", Publish)])
    app.listen(int(sys.argv[1]), "127.0.0.1", backlog=4096)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
