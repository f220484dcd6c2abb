"""Plain requests in aiohttp: text, a JSON list, a template of Tornado's."""

import sys
from pathlib import Path

from aiohttp import web
from tornado.template import Loader

names = [f"name {number}" for number in range(20)]
templates = Loader(str(Path(__file__).parent / "templates"))


async def hello(request: web.Request) -> web.Response:
    return web.Response(text="Hello World", content_type="text/html")


async def list_of_names(request: web.Request) -> web.Response:
    return web.json_response(names)


async def page(request: web.Request) -> web.Response:
    body = templates.load("page.html").generate(title="Names", names=names)
    return web.Response(body=body, content_type="text/html", charset="utf-8")


if __name__ == "__main__":
    app = web.Application()
    app.add_routes([web.get("/hello", hello), web.get("/list", list_of_names)])
    app.add_routes([web.get("/page", page)])
    web.run_app(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        backlog=4096,
        access_log=None,
        print=None,
    )
