"""Plain requests in tatsumaki_py: text, a JSON list, a template."""

import logging
import sys
from pathlib import Path

from tatsumaki_py import Application, Handler, Server

names = [f"name {number}" for number in range(20)]


class Hello(Handler):
    def get(self):
        self.write("Hello World")


class List(Handler):
    def get(self):
        self.write(names)


class Page(Handler):
    def get(self):
        self.render("page.html", {"title": "Names", "names": names})


app = Application([("/hello", Hello), ("/list", List), ("/page", Page)])
app.template_path = str(Path(__file__).parent / "templates")

if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)  # no access log, as in the other server
    Server(host="127.0.0.1", port=int(sys.argv[1])).run(app)
