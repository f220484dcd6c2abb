"""The groups of a route become arguments of the method."""

import pytest
from tornado.web import url

from tatsumaki_py import Application, Handler


class Count(Handler):
    def get(self, *params):
        self.write(len(params))


class Args(Handler):
    def get(self, *params, **named):
        assert self.args == list(params)
        self.write([params, named])


class Prepared(Handler):
    def prepare(self):
        self.args = [*self.args, "more"]

    def get(self, *params):
        self.write(params)


@pytest.fixture
def app():
    return Application(
        [
            (r"/count", Count),
            (r"/count/(\w+)", Count),
            (r"/count/(\w+)/(\w+)", Count),
            (r"/args/(\w+)(?:/(\w+))?", Args),
            (r"/any/(.*)", Args),
            url(r"/named/(?P<year>\d+)", Args),
            (r"/eleven/" + r"(\d)" * 11, Count),
            (r"/prepared/(\w+)", Prepared),
        ]
    )


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/count", "0"),
        ("/count/a", "1"),
        ("/count/a/b", "2"),
        ("/eleven/12345678901", "11"),
        ("/args/a/b", '[["a","b"],{}]'),
        ("/args/a", '[["a",null],{}]'),
        ("/named/2026", '[[],{"year":"2026"}]'),
        ("/any/a%2Fb%20c+d", '[["a/b c+d"],{}]'),
        ("/any/caf%C3%A9", '[["caf\u00e9"],{}]'),
        ("/prepared/a", '["a","more"]'),
    ],
)
@pytest.mark.gen_test
async def test_captures(fetch, path, body):
    """Each group is an argument: decoded text, or None if the group did not match. Numbers can be
    written.
    """
    answer = await fetch(path)
    assert answer.body.decode() == body


@pytest.mark.gen_test
async def test_bad_utf8(fetch, expect_log):
    """A path with bytes that are not UTF-8 is answered with 400."""
    with expect_log("tornado.general", "Invalid unicode"):
        assert (await fetch("/any/%FF")).code == 400


@pytest.mark.gen_test
async def test_no_match(fetch):
    """A route does not match a longer path."""
    for path in ("/count/a/b/c", "/countx"):
        assert (await fetch(path)).code == 404
