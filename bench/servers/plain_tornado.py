"""Plain requests in plain Tornado: text, a JSON list, a template.

usage: plain_tornado.py PORT [Server]. With the word Server, `tatsumaki_py.Server` serves the
application, otherwise Tornado's own HTTPServer.
"""

import asyncio
import json
import logging
import sys
from pathlib import Path

from tornado.web import Application, RequestHandler

names = [f"name {number}" for number in range(20)]


class Hello(RequestHandler):
    def get(self) -> None:
        self.write("Hello World")


class List(RequestHandler):
    def get(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.write(json.dumps(names))


class Page(RequestHandler):
    def get(self) -> None:
        self.render("page.html", title="Names", names=names)


async def serve(app: Application, port: int) -> None:
    app.listen(port, "127.0.0.1", backlog=4096)
    await asyncio.Event().wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)  # no access log
    app = Application(
        [("/hello", Hello), ("/list", List), ("/page", Page)],
        template_path=str(Path(__file__).parent / "templates"),
    )
    port = int(sys.argv[1])
    if "Server" in sys.argv:
        from tatsumaki_py import Server

        Server(host="127.0.0.1", port=port).run(app)
    else:
        asyncio.run(serve(app, port))
