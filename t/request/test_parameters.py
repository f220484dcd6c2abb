"""Parameters: of the query and of forms, as text."""

import json

import pytest

from tatsumaki_py import Application, Handler


class Echo(Handler):
    def prepare(self):
        request = self.request
        values = request.parameters
        self.write(
            {
                "all": {name: values.get_all(name) for name in values},
                "last": dict(values),
                "param": {name: request.param(name) for name in values},
            }
        )
        self.finish()

    def post(self):
        """prepare() has answered."""

    get = put = post


class Missing(Handler):
    def get(self):
        values = self.request.parameters
        assert values.get("x") is self.request.param("x") is None
        assert values.get("x", "d") == self.request.param("x", "d") == "d"
        assert self.request.param("x", 1) == 1
        assert values.get_all("x") == []
        assert "x" not in values
        self.write(values["x\r\n\u2603"])


@pytest.fixture
def app():
    return Application([("/", Echo), ("/missing", Missing)])


def form(*fields):
    """A multipart form of (name, value)."""
    parts = (
        f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields
    )
    return {
        "method": "POST",
        "headers": {"Content-Type": "multipart/form-data; boundary=B"},
        "body": "".join(parts).encode() + b"--B--\r\n",
    }


JSON_BODY = {
    "method": "POST",
    "headers": {"Content-Type": "application/json"},
    "body": b'{"a": 1}',
}


def urlencoded(body, method="POST"):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return {"method": method, "headers": headers, "body": body}


@pytest.mark.parametrize(
    ("path", "options", "values"),
    [
        ("/?a=1&a=2&b=3", {}, {"a": ["1", "2"], "b": ["3"]}),
        ("/?a=q", urlencoded("a=b&c=d"), {"a": ["q", "b"], "c": ["d"]}),
        ("/?a=q", urlencoded("a=b", "PUT"), {"a": ["q", "b"]}),
        ("/?a=q", form(("a", "b")), {"a": ["q", "b"]}),
        ("/?caf%C3%A9=%E2%98%83", {}, {"caf\u00e9": ["\u2603"]}),
        ("/", urlencoded("caf%C3%A9=caf%C3%A9"), {"caf\u00e9": ["caf\u00e9"]}),
        ("/", form(("caf\u00e9", "\u2603")), {"caf\u00e9": ["\u2603"]}),
        ("/?caf%C3%A9=1", form(("caf\u00e9", "2")), {"caf\u00e9": ["1", "2"]}),
        ("/?caf%C3%A9=1", urlencoded("caf%C3%A9=2"), {"caf\u00e9": ["1", "2"]}),
        ("/?a=%20x%20&b=+%0A&c=%00", {}, {"a": [" x "], "b": [" \n"], "c": ["\0"]}),
        ("/?a=%FF.&b=%C3", {}, {"a": ["\ufffd."], "b": ["\ufffd"]}),
        ("/?a&b=&=c", {}, {"a": [""], "b": [""], "": ["c"]}),
        ("/?a=%zz&b=%", {}, {"a": ["%zz"], "b": ["%"]}),
        ("/?a=x;b=y", {}, {"a": ["x;b=y"]}),
        ("/", JSON_BODY, {}),
    ],
)
@pytest.mark.gen_test
async def test_parameters(fetch, path, options, values):
    """Names and values are UTF-8, nothing is stripped, bad bytes are replaced; the query comes
    before the form, and the last value wins, however it is asked for."""
    answer = await fetch(path, **options)
    last = {name: all[-1] for name, all in values.items()}
    assert json.loads(answer.body) == {"all": values, "last": last, "param": last}


@pytest.mark.gen_test
async def test_missing(fetch):
    """A parameter that is needed and was not sent is a 400 that names it, and only in the body."""
    answer = await fetch("/missing")
    assert (answer.code, answer.reason) == (400, "Bad Request")
    assert answer.body.decode() == "missing parameter: x\r\n\u2603"
    assert answer.headers["Content-Type"] == "text/plain; charset=UTF-8"


@pytest.mark.gen_test
async def test_form_that_is_none(fetch, expect_log):
    """A broken multipart form is refused or has no fields, never a 500."""
    options = form(("a", "b"))
    options["body"] = b"no form"
    with expect_log("tornado.general", "multipart/form-data"):
        assert (await fetch("/", **options)).code in (200, 400)
