"""A program whose log is set up by `tornado.options`."""

import re
import urllib.request

import pytest

PROGRAM = """
from tornado.options import define, options, parse_command_line

from tatsumaki_py import Application, Handler, Server

class Count(Handler):
    async def get(self):
        for number in range(3):
            await self.stream_write(f"{number} ")

define("greeting", default="hello")
parse_command_line(["app.py", "--logging=info", "--greeting=hi"])

class Greet(Handler):
    def get(self):
        self.log("%s", options.greeting)
        self.write(options.greeting)

if __name__ == "__main__":
    Server().run(Application([("/", Greet), ("/count", Count)]))
"""


@pytest.fixture
def program(serve_program, tmp_path):
    path = tmp_path / "app.py"
    path.write_text(PROGRAM)
    return serve_program(path)


def test_pretty_log(program):
    """Each line has Tornado's format, including those of streams and of `Handler.log`."""
    for path in ("?client_id=me&a=%0Ab", "count"):
        with urllib.request.urlopen(program.url + path) as answer:
            answer.read()
    assert program.stop() == 0
    form = r"\[I \d{6} \d\d:\d\d:\d\d [\w.]+:\d+\] "
    lines = [re.sub(form, "", line) for line in program.stderr.splitlines()]
    assert "hi" in lines
    first, second = (line for line in lines if " GET " in line)
    assert re.fullmatch(r"200 GET /\?client_id=\.\.\.&a=%0Ab \(127\.0\.0\.1\) [\d.]+ms", first)
    what = r"stream finished, 0 events, \d+ bytes"
    assert re.fullmatch(rf"200 GET /count \(127\.0\.0\.1\) {what} [\d.]+ms", second)
