"""Plain requests in plain Tornado: text, a JSON list, a template."""

import asyncio
import json
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


async def main() -> None:
    app = Application(
        [("/hello", Hello), ("/list", List), ("/page", Page)],
        template_path=str(Path(__file__).parent / "templates"),
    )
    app.listen(int(sys.argv[1]), "127.0.0.1", backlog=4096)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
