"""Parameters: the fields of the query and of forms, as text."""

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
                "query": {
                    name: request.query_parameters.get_all(name)
                    for name in request.query_parameters
                },
                "body": {
                    name: request.body_parameters.get_all(name) for name in request.body_parameters
                },
            }
        )
        self.finish()

    def post(self):
        """`prepare` has already answered."""

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
    """The options of a request that sends a multipart form with these pairs of name and value."""
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
        ("/?%FF=1&%FE=2", {}, {"\ufffd": ["1", "2"]}),
        ("/", urlencoded("%FF=1"), {"\ufffd": ["1"]}),
        # Names that look like UTF-8 after decoding are not decoded again.
        ("/?%C3%83%C2%B6=1", {}, {"\xc3\xb6": ["1"]}),
        ("/", form(("\xc3\xb6", "1")), {"\xc3\xb6": ["1"]}),
        ("/", JSON_BODY, {}),
    ],
)
@pytest.mark.gen_test
async def test_parameters(fetch, path, options, values):
    """Names and values are decoded as UTF-8. Nothing is stripped, and invalid bytes are replaced.
    Values of the query come before those of the form, and the last value wins."""
    answer = await fetch(path, **options)
    last = {name: all[-1] for name, all in values.items()}
    found = json.loads(answer.body)
    query, body = found.pop("query"), found.pop("body")
    assert found == {"all": values, "last": last, "param": last}
    both = {name: query.get(name, []) + body.get(name, []) for name in query | body}
    assert both == values
    assert bool(body) == (bool(values) and "method" in options)


@pytest.mark.gen_test
async def test_missing(fetch):
    """A missing required parameter is answered with a 400 that names it in the body only."""
    answer = await fetch("/missing")
    assert (answer.code, answer.reason) == (400, "Bad Request")
    assert answer.body.decode() == "missing parameter: x\r\n\u2603"
    assert answer.headers["Content-Type"] == "text/plain; charset=UTF-8"


@pytest.mark.parametrize(
    "content_type",
    [
        "Application/X-WWW-Form-Urlencoded",
        "APPLICATION/X-WWW-FORM-URLENCODED ; Charset=UTF-8",
        "Multipart/Form-Data; Boundary=B",
        "multipart/FORM-DATA; charset=utf-8; BOUNDARY=B",
        'multipart/form-data; boundary = "B"',
    ],
)
@pytest.mark.gen_test
async def test_letter_case_of_the_type(fetch, content_type):
    """A form is read whatever the letter case of its type: media types and the names of their
    parameters are case-insensitive."""
    options = form(("a", "b")) if "multi" in content_type.lower() else urlencoded("a=b")
    options["headers"] = {"Content-Type": content_type}
    answer = await fetch("/", **options)
    assert json.loads(answer.body)["body"] == {"a": ["b"]}


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencodedx", "multipart/form"])
@pytest.mark.gen_test
async def test_other_types(fetch, content_type):
    """A body is not read as a form if its type only resembles the type of a form."""
    options = urlencoded("a=b") | {"headers": {"Content-Type": content_type}}
    assert json.loads((await fetch("/", **options)).body)["body"] == {}


@pytest.mark.parametrize(
    ("options", "status", "line"),
    [
        (form(("a", "b")) | {"body": b"no form"}, 400, b"no final boundary found"),
        (urlencoded("a&" * 1000), 400, b"Max number of fields exceeded"),
        (form(*[("a", "b")] * 101), 400, b"too many parts"),
        (form(*[("a" * 9000, "b")] * 12), 413, b"bytes in the heads"),
        (urlencoded("%41" * 1_000_001), 413, b"more than 1000000 escapes in one form"),
    ],
    ids=range(5),
)
@pytest.mark.gen_test
async def test_form_that_is_none(fetch, options, status, line):
    """A form that is broken, or too expensive to read, is refused with one line."""
    answer = await fetch("/", **options)
    assert answer.code == status
    assert line in answer.body
    assert b"\n" not in answer.body


@pytest.mark.parametrize(("coding", "status"), [("gzip", 415), ("GZIP", 415), ("Identity", 200)])
@pytest.mark.parametrize("options", [form(("a", "b")), urlencoded("a=b")], ids=["multi", "url"])
@pytest.mark.gen_test
async def test_content_encoding(fetch, options, coding, status):
    """A compressed form is answered with a 415."""
    headers = options["headers"] | {"Content-Encoding": coding}
    answer = await fetch("/", **{**options, "headers": headers})
    assert answer.code == status
