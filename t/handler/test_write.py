"""The values that `write` and `finish` take."""

import json

import pytest

from tatsumaki_py import Application, Handler

VALUES = {
    "text": (["caf\u00e9"], "text/html; charset=UTF-8", "caf\u00e9".encode()),
    "empty": ([""], "text/html; charset=UTF-8", b""),
    "int": ([0], "text/html; charset=UTF-8", b"0"),
    "float": ([3.5], "text/html; charset=UTF-8", b"3.5"),
    "bytes": ([b"\xff"], "text/html; charset=UTF-8", b"\xff"),
    "bytearray": (
        [bytearray(b"\xff"), memoryview(b"\xfe")],
        "text/html; charset=UTF-8",
        b"\xff\xfe",
    ),
    "dict": ([{"a": 1}], "application/json", b'{"a":1}'),
    "list": ([[1, "two", None, True]], "application/json", b'[1,"two",null,true]'),
    "tuple": (
        [(1, "\u2603", "</script>")],
        "application/json",
        '[1,"\u2603","</script>"]'.encode(),
    ),
    "empty list": ([[]], "application/json", b"[]"),
    "no argument": ([], "text/html; charset=UTF-8", b""),
    "none": ([None], "text/html; charset=UTF-8", b""),
    "none among others": (["a", None, "b"], "text/html; charset=UTF-8", b"ab"),
    "several": (["x", {"a": 1}, "y", 2, b"z"], "application/json", b'x{"a":1}y2z'),
}
MISTAKES = {
    "bool": True,
    "object": object(),
    "set": {1},
    "generator": (c for c in "ab"),
    "bytes in json": [b"x"],
    "infinity": [float("inf")],
    "surrogate": ["\ud800"],
}


class Write(Handler):
    def get(self, name):
        self.write(*VALUES[name][0])

    def post(self, name):
        self.write("before")
        self.write(MISTAKES[name])


class Finish(Handler):
    async def get(self, name):
        self.write("<")
        await self.finish(VALUES[name][0][0])


class Type(Handler):
    def get(self, order):
        if order == "before":
            self.response.content_type = "application/vnd.api+json"
        self.write({})
        if order == "after":
            self.response.content_type = "application/vnd.api+json"


class Sorted(Handler):
    json = json.JSONEncoder(sort_keys=True, indent=1)

    def get(self):
        self.write({"b": 1, "a": "\u00e9"})


class Shout(Handler):
    def get_chunk(self, chunk, *more):
        return super().get_chunk(chunk, *more).upper()

    async def get(self):
        self.write("a", "b")
        await self.flush()
        self.finish({"c": 1})

    async def post(self):
        await self.stream_write("a")


@pytest.fixture
def app():
    return Application(
        [
            ("/write/(.*)", Write),
            ("/finish/(.*)", Finish),
            ("/type/(.*)", Type),
            ("/sorted", Sorted),
            ("/shout", Shout),
        ]
    )


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.gen_test
async def test_write(fetch, name):
    """`write` takes text, bytes and numbers, and writes dicts, lists and tuples as JSON. None
    writes nothing. Several arguments are joined.
    """
    values, content_type, body = VALUES[name]
    answer = await fetch(f"/write/{name.replace(' ', '%20')}")
    assert (answer.headers["Content-Type"], answer.body) == (content_type, body)
    if len(values) == 1:
        answer = await fetch(f"/finish/{name.replace(' ', '%20')}")
        assert (answer.headers["Content-Type"], answer.body) == (content_type, b"<" + body)


@pytest.mark.parametrize("name", MISTAKES)
@pytest.mark.gen_test
async def test_mistakes(fetch, expect_log, name):
    """Any other value raises an exception: the answer is a 500 without the text from before."""
    with expect_log("tornado.application", "Uncaught exception") as records:
        answer = await fetch(f"/write/{name.replace(' ', '%20')}", method="POST")
    assert (answer.code, answer.body) == (500, b"Internal Server Error")
    assert isinstance(records[0].exc_info[1], (TypeError, ValueError))


@pytest.mark.gen_test
async def test_content_type(fetch):
    """Writing JSON sets the content type: a type set before is lost, a type set after wins."""
    assert (await fetch("/type/before")).headers["Content-Type"] == "application/json"
    assert (await fetch("/type/after")).headers["Content-Type"] == "application/vnd.api+json"


@pytest.mark.gen_test
async def test_encoder(fetch):
    """`json` may be any object with a method `encode`."""
    assert (await fetch("/sorted")).body == b'{\n "a": "\\u00e9",\n "b": 1\n}'


@pytest.mark.gen_test
async def test_get_chunk(fetch):
    """`get_chunk` gets everything that is written."""
    assert (await fetch("/shout")).body == b'AB{"C":1}'
    assert (await fetch("/shout", method="POST")).body == b"A"
