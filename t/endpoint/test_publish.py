"""The body of a POST becomes events, or is answered with a 4xx and one line of text."""

import json
import urllib.parse

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPRequest

from tatsumaki_py import Application, PublishHandler

FORM = "application/x-www-form-urlencoded"


class Small(PublishHandler):
    max_batch = 3


class Ending(PublishHandler):
    may_end = True


class Few(PublishHandler):
    max_values = 10
    max_body_size = 400


@pytest.fixture
def app():
    rules = [(r"/publish/([\w.-]+)", PublishHandler), (r"/publish", PublishHandler)]
    rules += [(r"/ending/(\w+)", Ending)]
    rules += [(r"/small/([\w.-]+)", Small), (r"/few/([\w.-]+)", Few)]
    return Application(rules)


@pytest.fixture
def post(http_server, base_url):
    """Send a POST and return the answer."""

    async def post(body, content_type="application/json", path="/publish/room", **headers):
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if content_type is not None:
            fields["Content-Type"] = content_type
        request = HTTPRequest(f"{base_url}{path}", "POST", fields, body)
        return await AsyncHTTPClient().fetch(request, raise_error=False)

    return post


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
@pytest.mark.gen_test
async def test_an_object(post, queue, content_type):
    """An object is one event, and the answer contains its id."""
    event = {"n": 1, "text": "h\u00e9llo \U0001f600", "deep": {"list": [1, None, True, 1.5]}}
    reply = await post(json.dumps(event), content_type)
    assert json.loads(reply.body) == {"id": queue.cursor()}
    assert reply.headers["Content-Type"] == "application/json"
    assert queue.backlog_events == [event]


@pytest.mark.gen_test
async def test_a_list(post, queue):
    """A list is several events, and either all or none of them are published."""
    reply = await post('[{"n":1},{"n":2}]')
    assert json.loads(reply.body) == {"ids": [event.id for event in queue.backlog_events]}
    assert queue.backlog_events == [{"n": 1}, {"n": 2}]
    assert (await post('[{"n":3},{"type":"gap"}]')).code == 400
    assert json.loads((await post("[]")).body) == {"ids": []}
    assert len(queue.backlog_events) == 2


@pytest.mark.parametrize("value", ["text", "", 0, 1.5, True, False, None, {}], ids=repr)
@pytest.mark.gen_test
async def test_any_value(post, queue, value):
    """A value of any kind is one event; a list is several events, one of which may be a list."""
    reply = await post(f" {json.dumps(value)}\n")
    assert json.loads(reply.body) == {"id": queue.cursor()}
    assert queue.backlog_events == [value]
    reply = await post(json.dumps([value, [value, 1]]))
    assert json.loads(reply.body)["ids"][-1] == queue.cursor()
    assert queue.backlog_events == [value, value, [value, 1]]


@pytest.mark.gen_test
async def test_a_form(post, queue):
    """The fields of a form are one event, without the XSRF token."""
    fields = [("text", " caf\u00e9 "), ("a", "1"), ("a", "2"), ("_xsrf", "secret"), ("empty", "")]
    reply = await post(urllib.parse.urlencode(fields), FORM)
    assert json.loads(reply.body) == {"id": queue.cursor()}
    assert queue.backlog_events == [{"text": " caf\u00e9 ", "a": "2", "empty": ""}]


@pytest.mark.gen_test
async def test_a_multipart_form(post, queue):
    """The fields of a multipart form are one event; a file is refused."""
    part = '--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
    text = part % ("text", "", "caf\u00e9")
    assert (await post(f"{text}--b--\r\n", "multipart/form-data; boundary=b")).code == 200
    assert queue.backlog_events == [{"text": "caf\u00e9"}]
    file = part % ("file", '; filename="x"', "data")
    reply = await post(f"{text}{file}--b--\r\n", "multipart/form-data; boundary=b")
    assert (reply.code, reply.body) == (400, b"a file cannot be published")


@pytest.mark.parametrize("content_type", [FORM, FORM.title()])
@pytest.mark.gen_test
async def test_the_names_of_a_form(post, queue, content_type):
    """The names of fields may be any text, and the content type is case-insensitive."""
    reply = await post("gr\u00f6\u00dfe=L&%e2%98%83=%e2%98%83&a=%00".encode(), content_type)
    assert reply.code == 200
    assert queue.backlog_events == [{"gr\u00f6\u00dfe": "L", "\u2603": "\u2603", "a": "\0"}]


@pytest.mark.gen_test
async def test_the_names_of_a_multipart_form(post, queue):
    """The names of fields of a multipart form may be any text."""
    part = '--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    body = part % ("gr\u00f6\u00dfe", "L") + part % ("\u00c3\u00b6", "\u2603") + "--b--\r\n"
    assert (await post(body, "Multipart/Form-Data; Boundary=b")).code == 200
    assert queue.backlog_events == [{"gr\u00f6\u00dfe": "L", "\u00c3\u00b6": "\u2603"}]


@pytest.mark.parametrize("body", ["", "&", "_xsrf=secret"])
@pytest.mark.gen_test
async def test_a_form_without_fields(post, queue, body):
    """A form without fields is answered with 400; an empty event must be JSON."""
    reply = await post(body, FORM)
    assert (reply.code, reply.body) == (400, b"a form without fields is not an event")
    assert queue.backlog_events == []


@pytest.mark.parametrize("body", ['{"text":"a&b=c"}', ' [{"n":1},\n{"n":2}]\r\n', "{}", ' "a=b"\n'])
@pytest.mark.gen_test
async def test_json_under_the_header_of_a_form(post, queue, body):
    """JSON with the content type of a form is answered with a 415 that names the right type."""
    reply = await post(body, FORM)
    line = b"to publish JSON, send Content-Type: application/json"
    assert (reply.code, reply.body) == (415, line)
    assert queue.backlog_events == []


@pytest.mark.parametrize(
    "content_type", ["application/json", FORM, "multipart/form-data;boundary=b"]
)
@pytest.mark.gen_test
async def test_content_encoding(post, queue, content_type):
    """A compressed body is refused, whatever its type; the encoding "identity" is accepted."""
    body = (
        "--b--" if "multipart" in content_type else '{"n":1}' if "json" in content_type else "n=1"
    )
    reply = await post(body, content_type, Content_Encoding="GZip")
    assert reply.code == 415
    reply = await post(body, content_type, Content_Encoding="Identity")
    assert reply.code == (400 if "multipart" in content_type else 200)


@pytest.mark.parametrize(
    ("charset", "status"), [("UTF-8", 200), ('"utf-8"', 200), ("ISO-8859-1", 415), ("utf-16", 415)]
)
@pytest.mark.parametrize(("body", "content_type"), [('{"n":1}', "application/json"), ("n=1", FORM)])
@pytest.mark.gen_test
async def test_charset(post, body, content_type, charset, status):
    """An event must be UTF-8; a body with any other charset is refused."""
    reply = await post(body, f"{content_type}; v=1; Charset={charset}")
    assert reply.code == status


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("", b"not JSON"),
        ("{", b"not JSON"),
        (b"\xff", b"not JSON"),
        ("[" * 90_000, b"not JSON: nested too deeply"),
        ('{"n":' + "9" * 5000 + "}", b"not an event: a number is too long (5000 characters)"),
        ('{"n":' + "9" * 990 + ".0}", b"not an event: a number is too long or too large"),
        ('{"n":NaN}', b"not JSON: NaN is not a number in JSON"),
        ('{"n":1e999}', b"not an event"),
        ('{"n":"\\ud800"}', b"not an event"),
        # Clients that believe this gap would move their cursors.
        ('{"type":"gap","after":"1-0","id":"0-0"}', b"not an event"),
        ("1e999", b"not an event: a number is too long or too large"),
        ('"\\ud800"', b"not an event: half of a surrogate pair"),
        ("nul", b"not JSON"),
        ("[" * 102 + "]" * 102, b"not an event: nested more than 100 levels deep"),
        ('[{"n":1} {"n":2}]', b"not JSON: Expecting ','"),
        ('[{"n":1},]', b"not JSON"),
        ("[{}", b"not JSON"),
        ("[", b"not JSON"),
        ("[],", b"not JSON: Expecting the end"),
        ("{}{}", b"not JSON: Expecting the end"),
        ('\ufeff{"n":1}', b"not JSON: it begins with a byte order mark"),
        ('{"n":1}'.encode("utf-16"), b"not JSON"),
        ('{"n":"\\ude00\\ud83d"}', b"not an event: half of a surrogate pair"),
        ('{"n":"\\\\\\uD83D\\\\uDE00"}', b"not an event: half of a surrogate pair"),
        ('{"t\\u0079pe":"gap"}', b"not an event"),
        ('{"type":"gap","t\\u0079pe":"x"}', b"not an event: a name occurs twice in one object"),
        ('{"n":[{"a":1,"b":2,"a":1}]}', b"not an event: a name occurs twice in one object"),
        ('{"n":' + "[" * 100 + "]" * 100 + "}", b"not an event: nested more than 100 levels deep"),
    ],
    ids=range(28),
)
@pytest.mark.gen_test
async def test_no_event(post, queue, body, line):
    """A body that is not an event is answered with 400 and one line, and nothing is published."""
    reply = await post(body)
    assert reply.code == 400
    assert reply.body.startswith(line)
    assert b"\n" not in reply.body
    assert queue.backlog_events == []


@pytest.mark.gen_test
async def test_json_is_kept(post, queue):
    """The JSON of an event is kept byte by byte, except that line ends, which some transports
    cannot contain, become spaces.
    """
    one = '{"b" : 1.50,\n "a":"\\u00e9 \\ud83d\\uDE00 \\\\ud800", "n":1E2,\r\n"deep":%s}'
    one %= "[" * 99 + "]" * 99
    assert (await post(f" \n{one}\r\n")).code == 200
    assert (await post(f"[\t{one} ,\n{{}}]")).code == 200
    kept = one.replace("\n", " ").replace("\r", " ").encode()
    assert [event.json for event in queue.backlog_events] == [kept, kept, b"{}"]
    assert queue.backlog_events[0]["a"] == "\u00e9 \U0001f600 \\ud800"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ('{"n":[1,2,3,4,5,6,7,8]}', 200),
        ('{"n":[1,2,3,4,5,6,7,8,9]}', 413),
        ('[{"n":1},{"n":1},{"n":1},{"n":1}]', 200),
        ('[{"n":1},{"n":1},{"n":1},{"n":1},{"n":1}]', 413),
        # Brackets and commas in a string are not values.
        ('{"n":"[,,,,,,,,,,,,,,,{{{{"}', 200),
        ('{"n":"\\\\\\",,,,,,,,,,,,,,,\\"","m":"\\\\"}', 200),
        ('{"n":"\\\\",' + ",".join(f'"{n}":0' for n in range(9)) + "}", 413),
        ('"' * 41, 400),
        (',"' * 41, 413),
        ('{"n":"' + "x" * 390 + '"}', 200),
        ('{"n":"' + "x" * 393 + '"}', 413),
    ],
    ids=range(11),
)
@pytest.mark.gen_test
async def test_bounds(post, queue, body, status):
    """A request with too many values or bytes is answered with 413."""
    reply = await post(body, path="/few/room")
    assert reply.code == status
    if status == 413:
        assert reply.body in (
            b"more than 10 values in one request",
            b"more than 400 bytes in one request",
        )
        assert queue.backlog_events == []


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/xml", "x"])
@pytest.mark.gen_test
async def test_other_types(post, content_type):
    """Other types are answered with 415, even text/plain, for which a browser needs no preflight
    request.
    """
    reply = await post('{"n":1}', content_type or "")
    reason = b"an event must be JSON (application/json) or a form"
    assert (reply.code, reply.body) == (415, reason)


@pytest.mark.gen_test
async def test_too_much(post, queue):
    """Too many events, or an event that is too large, are answered with 413."""
    assert (await post('[{"n":1},{"n":2},{"n":3}]', path="/small/room")).code == 200
    reply = await post('[{"n":1},{"n":2},{"n":3},{"n":4}]', path="/small/room")
    assert (reply.code, reply.body) == (413, b"more than 3 events in one request")
    queue.max_event_size = 100
    reply = await post(json.dumps({"text": "x" * 100}))
    assert (reply.code, reply.body) == (413, b"an event of 112 bytes exceeds the maximum of 100")
    assert len(queue.backlog_events) == 3


@pytest.mark.gen_test
async def test_idempotency_key(post, queue):
    """A client that repeats a request gets the same answer again, and nothing is published
    twice.
    """
    first = await post('{"n":1}', Idempotency_Key="k")
    again = await post('{"n":1}', Idempotency_Key="k")
    assert (again.code, again.body) == (200, first.body)
    assert (await post('[{"n":1},{"n":2}]', Idempotency_Key="l")).code == 200
    assert len(queue.backlog_events) == 3
    assert (await post('{"n":2}', Idempotency_Key="k")).code == 422
    assert (await post('{"n":1}', Idempotency_Key="x" * 256)).code == 400
    assert (await post('{"n":1}', Idempotency_Key="k", path="/publish/other")).code == 200
    assert len(queue.backlog_events) == 3


@pytest.mark.gen_test
async def test_one_channel(post, queue):
    """The query names exactly one channel; the field `channel` of a form is part of the event."""
    reply = await post("channel=x&n=1", FORM, path="/publish?channel=room")
    assert reply.code == 200
    assert queue.backlog_events == [{"channel": "x", "n": "1"}]
    reply = await post("{}", path="/publish?channel=room&channel=other")
    assert (reply.code, reply.body) == (400, b"one channel at a time")
    reply = await post("{}", path="/publish")
    assert (reply.code, reply.body) == (400, b"missing parameter: channel")


@pytest.mark.gen_test
async def test_other_methods(http_server, base_url):
    """GET is answered with 405."""
    reply = await AsyncHTTPClient().fetch(f"{base_url}/publish/room", raise_error=False)
    assert (reply.code, reply.headers["Allow"]) == (405, "POST, OPTIONS")


@pytest.mark.gen_test
async def test_a_key(post, queue):
    """The header ``Event-Key`` sets the key; all events of a list share it, so only the last is
    kept.
    """
    await post("[1, 2]", Event_Key="a")
    await post("3", Event_Key="b")
    queue.backlog_length = 0
    reply = await post('{"type":"end"}', path="/ending/room", Event_Key="a")
    assert (reply.code, reply.body) == (400, b"the end of a channel cannot have a key")
    assert queue.backlog_events == [2, 3]
    assert [event.key for event in queue.backlog_events] == ["a", "b"]
    for key in ("", "x" * 256):
        reply = await post("4", Event_Key=key)
        assert (reply.code, reply.body) == (400, b"a key must have 1 to 255 characters")
    for key in ("\xe9", "a\tb"):
        reply = await post("4", Event_Key=key)
        assert (reply.code, reply.body) == (400, b"an Event-Key must be printable ASCII")
    assert queue.backlog_events == [2, 3]
