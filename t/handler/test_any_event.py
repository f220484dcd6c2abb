"""A handler writes an event of any type as JSON, and the `data` of an event as the plain value."""

import json

import pytest
from tornado.httpclient import AsyncHTTPClient
from tornado.websocket import websocket_connect

from tatsumaki_py import Application, Handler, MessageQueue, WebSocketHandler

VALUES = ["text", "caf\u00e9", "", ["a", 1], [], {"n": 1}, 5, 0, 1.5, True, False, None]


def events():
    return MessageQueue.instance("room").backlog_events


class One(Handler):
    def get(self, number):
        self.write(events()[int(number)])


class OneOfLatin1(One):
    binary = True


class Data(Handler):
    def get(self, number):
        self.write(events()[int(number)].data)


class All(Handler):
    def get(self):
        self.write(events())


class Within(Handler):
    def get(self):
        self.write({"events": events(), "first": events()[0]})


class Codec(All):
    json = json.JSONEncoder(indent=1)


class Stream(Handler):
    asynchronous = True

    def get(self, kind):
        if kind != "plain":
            getattr(self, kind)(True)
        for event in events():
            self.stream_write(event)
        self.finish()


class Texts(Stream):
    """Returns text for text events, and other events unchanged."""

    def get_chunk(self, chunk, *more):
        return chunk.data if isinstance(chunk, str) else chunk


class Socket(WebSocketHandler):
    def open(self):
        self.stream_write(*events())


@pytest.fixture
def app():
    MessageQueue.instance("room").publish(*VALUES)
    return Application(
        [
            (r"/one/(\d+)", One),
            (r"/latin/(\d+)", OneOfLatin1),
            (r"/data/(\d+)", Data),
            ("/all", All),
            ("/within", Within),
            ("/codec", Codec),
            (r"/stream/(\w+)", Stream),
            (r"/texts/(\w+)", Texts),
            ("/socket", Socket),
        ]
    )


@pytest.fixture
def get(http_server, base_url):
    async def get(path):
        return await AsyncHTTPClient().fetch(base_url + path)

    return get


@pytest.mark.parametrize("path", ["one", "latin"])
@pytest.mark.gen_test
async def test_write(get, path):
    """An event is written as JSON in UTF-8 with its content type, even text and null."""
    for number, value in enumerate(VALUES):
        reply = await get(f"/{path}/{number}")
        assert reply.body == events()[number].json
        assert json.loads(reply.body) == value
        assert reply.headers["Content-Type"] == "application/json"


@pytest.mark.gen_test
async def test_its_data(get):
    """`data` is written like any other value."""
    reply = await get("/data/0")
    assert (reply.body, reply.headers["Content-Type"]) == (b"text", "text/html; charset=UTF-8")
    assert [(await get(f"/data/{number}")).body for number in (3, 5, 6, 11)] == [
        b'["a",1]',
        b'{"n":1}',
        b"5",
        b"",
    ]


@pytest.mark.parametrize("path", ["/all", "/codec"])
@pytest.mark.gen_test
async def test_a_list_of_events(get, path):
    """A list of events is the answer to a long poll, and sets the header with the cursor."""
    reply = await get(path)
    assert json.dumps(json.loads(reply.body)) == json.dumps(VALUES)
    assert reply.headers["Last-Event-ID"] == events()[-1].id


@pytest.mark.gen_test
async def test_within_other_values(get):
    """Events within a dict are written as their values."""
    reply = json.loads((await get("/within")).body)
    assert json.dumps(reply) == json.dumps({"events": VALUES, "first": "text"})


@pytest.mark.gen_test
async def test_stream_write(get):
    """A stream of messages sends each event with its id; another stream sends its JSON."""
    bodies = [event.json for event in events()]
    ids = [event.id for event in events()]
    assert (await get("/stream/plain")).body == b"".join(bodies)
    sse = (await get("/stream/server_sent_events")).body.decode()
    for id, body in zip(ids, bodies, strict=True):
        assert f"id: {id}\ndata: {body.decode()}\n\n" in sse
    lines = (await get("/stream/json_lines")).body.splitlines()
    found = [json.loads(line) for line in lines]
    expected = [{"id": id, "data": value} for id, value in zip(ids, VALUES, strict=True)]
    assert json.dumps([line for line in found if "data" in line]) == json.dumps(expected)
    parts = (await get("/stream/multipart_xhr_push")).body
    for body in bodies:
        assert b"Content-Type: application/json\n\n" + body + b"\n--" in parts


@pytest.mark.gen_test
async def test_text_in_a_form_of_ones_own(get):
    """If `get_chunk` returns an event, its JSON is sent; text is sent as text; nothing is sent for
    an empty result.
    """
    sse = (await get("/texts/server_sent_events")).body.decode()
    found = [line[6:] for line in sse.splitlines() if line.startswith("data: ")]
    expected = ["text", "caf\u00e9", '["a",1]', "[]", '{"n":1}', "5", "0", "1.5", "true", "false"]
    assert found == [*expected, "null"]


@pytest.mark.gen_test
async def test_websocket(http_server, base_url):
    """Each event is a message with its id."""
    socket = await websocket_connect(base_url.replace("http", "ws") + "/socket")
    for event, value in zip(events(), VALUES, strict=True):
        message = json.loads(await socket.read_message())
        assert json.dumps(message) == json.dumps({"id": event.id, "data": value})
    socket.close()
