"""Chromium's own EventSource, fetch and WebSocket."""

import pytest
from support.background import Background
from support.lossy import ROUNDS

from tatsumaki_py import Application, Error, Handler, MessageQueue, SubscribeHandler

CLIENTS = {
    # An EventSource reconnects automatically.
    "EventSource": """
        const source = new EventSource(url)
        source.onmessage = event => got.push(JSON.parse(event.data))
    """,
    "fetch": """
        let cursor = ''
        const connect = async () => {
            try {
                const headers = {Accept: 'application/x-ndjson'}
                if (cursor) headers['Last-Event-ID'] = cursor
                const response = await fetch(url, {headers})
                cursor = response.headers.get('Last-Event-ID')
                let rest = ''
                for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
                    const lines = (rest + text).split('\\n')
                    rest = lines.pop()
                    for (const message of lines.map(JSON.parse)) {
                        cursor = message.id || cursor
                        if (message.data) got.push(message.data)
                    }
                }
            } catch (error) {}
            setTimeout(connect, 50)
        }
        connect()
    """,
    "WebSocket": """
        let cursor = ''
        const connect = () => {
            const socket = new WebSocket(url.replace('http', 'ws') + '?last_event_id=' + cursor)
            socket.onmessage = event => {
                const message = JSON.parse(event.data)
                cursor = message.id
                if (message.data) got.push(message.data)
            }
            socket.onclose = () => setTimeout(connect, 50)
        }
        connect()
    """,
}


class Page(Handler):
    def get(self):
        self.response.content_type = "text/html"
        self.write("<!doctype html><link rel=icon href=data:><title>Bare</title>")


class Refusing(SubscribeHandler):
    asked = 0

    def can_subscribe(self, channel):
        type(self).asked += 1
        if channel == "secret":
            return False
        raise Error.HTTP(int(channel))


class Staying(SubscribeHandler):
    """All clients belong to one user, so that a test can ban them."""

    banned = False
    asked = 0

    def group(self):
        return "ann"

    def can_subscribe(self, channel):
        Staying.asked += 1
        return not Staying.banned


class Fragments(SubscribeHandler):
    """Pushes HTML."""

    text = True


@pytest.fixture(scope="module")
def server():
    """A `Background` for all tests of this file."""
    rules = [
        ("/", Page),
        (r"/events/(\w+)", SubscribeHandler),
        (r"/html/(\w+)", Fragments),
        (r"/no/(\w+)", Refusing),
        (r"/staying/(\w+)", Staying),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tatsumaki_py.push.framing.server_sent_events.RETRY", (50, 60))
        server = Background(Application(rules))
        yield server
        server.stop()


@pytest.fixture
def forget_channels(server):
    """Removes the channels in the thread of the server."""
    yield
    server.call(MessageQueue.reset)
    server.call(MessageQueue._registry.instances.clear)


@pytest.fixture
def open_page(page, page_errors, server):
    """`page = open_page(script)` runs a script that reads `url` and fills `got` with events."""
    # The errors that a browser logs when a connection is cut.
    page_errors.allow("ERR_|WebSocket connection to|the server responded with a status of")

    def open_page(script, path="/events/room"):
        page.goto(server.url)
        page.evaluate(f"() => {{ got = []; url = '{server.url}{path}'; {script} }}")
        return page

    yield open_page
    # Otherwise, the page would keep trying to reconnect.
    page.goto("about:blank")


def wait_for(page, count):
    page.wait_for_function("count => got.length >= count", arg=count)


@pytest.mark.parametrize("client", CLIENTS)
def test_misses_nothing(open_page, server, client):
    """The client gets all events once and in order, though its connection is cut."""
    here, away, cut = ROUNDS
    page = open_page(CLIENTS[client])
    server.publish(*here)
    wait_for(page, 2)
    server.proxy.down = True
    server.call(server.proxy.cut)
    server.publish(*away)
    page.wait_for_timeout(100)
    server.proxy.down = False
    wait_for(page, 5)
    server.call(server.proxy.cut_after, 300_000)
    server.publish(*cut)
    wait_for(page, 7)
    page.wait_for_timeout(50)
    assert page.evaluate("got") == here + away + cut


@pytest.mark.parametrize("client", CLIENTS)
def test_regular_end(open_page, server, client):
    """The client reconnects after the server has ended the stream, and misses no event."""
    page = open_page(CLIENTS[client])
    for number in range(3):
        server.publish({"n": number})
        wait_for(page, number + 1)
        server.disconnect()
    server.publish({"n": 3})
    wait_for(page, 4)
    assert page.evaluate("got") == [{"n": number} for number in range(4)]


SHOWING = """
    const show = event => {
        document.body.insertAdjacentHTML('beforeend', event.data)
        got.push(document.body.lastElementChild.outerHTML)
    }
"""
SHOWN = {
    "EventSource": SHOWING + "new EventSource(url).onmessage = show",
    "WebSocket": SHOWING + "new WebSocket(url.replace('http', 'ws')).onmessage = show",
}


@pytest.mark.parametrize("client", SHOWN)
def test_html(open_page, server, client):
    """Strings reach a page unchanged, with their line breaks."""
    page = open_page(SHOWN[client], "/html/room")
    fragments = ['<p id="a">one</p>', "<pre>two\n  lines \u2028</pre>"]
    server.publish(*fragments)
    wait_for(page, 2)
    assert page.evaluate("got") == fragments


LISTENING = """
    const source = new EventSource(url)
    for (const type of ['message', 'gap'])
        source.addEventListener(type, event =>
            got.push([type, JSON.parse(event.data), event.lastEventId]))
"""


def test_gap_at_the_start(open_page, server):
    """An EventSource with an unknown cursor gets a gap, then the backlog and new events."""
    server.publish({"n": 1})
    page = open_page(LISTENING, "/events/room?last_event_id=1-0")
    wait_for(page, 2)
    server.publish({"n": 2})
    wait_for(page, 3)
    (kind, gap, id), *others = page.evaluate("got")
    assert (kind, gap["type"], gap["after"], gap["id"]) == ("gap", "gap", "1-0", id)
    assert [other[:2] for other in others] == [["message", {"n": 1}], ["message", {"n": 2}]]


def test_gap_after_a_restart(open_page, server):
    """An EventSource gets one gap after the server has lost all events, and continues."""
    page = open_page(LISTENING)
    server.publish({"n": 1})
    wait_for(page, 1)

    def restart():
        # In one go: the reset would remove a page that has already reconnected.
        server.proxy.cut()
        MessageQueue.reset()
        MessageQueue._registry.instances.clear()

    server.call(restart)
    server.publish({"n": 2})
    wait_for(page, 3)
    server.publish({"n": 3})
    wait_for(page, 4)
    server.call(server.proxy.cut)
    server.publish({"n": 4})
    wait_for(page, 5)
    got = page.evaluate("got")
    assert [kind for kind, *_ in got] == ["message", "gap", "message", "message", "message"]
    assert got[1][1]["after"] == got[0][2]
    assert [data for kind, data, _ in got if kind == "message"] == [{"n": n} for n in (1, 2, 3, 4)]


@pytest.mark.parametrize("channel", ["secret", "401", "404"])
def test_refusal_is_final(open_page, server, channel):
    """An EventSource that is refused does not retry."""
    Refusing.asked = 0
    page = open_page(
        "source = new EventSource(url); source.onerror = () => got.push(source.readyState)",
        f"/no/{channel}",
    )
    wait_for(page, 1)
    page.wait_for_timeout(300)
    assert page.evaluate("[got, source.readyState]") == [[2], 2]
    assert Refusing.asked == 1


ENDINGS = {
    "EventSource": (
        "source = new EventSource(url); source.onmessage = () => got.push('message');"
        "source.onerror = () => got.push(source.readyState)",
        ["message", 0, 2],
        2,
    ),
    "WebSocket": (
        "socket = new WebSocket(url.replace('http', 'ws'));"
        "socket.onmessage = ({ data }) => JSON.parse(data).data && got.push('message');"
        "socket.onclose = ({ code, reason, wasClean }) => got.push(code, reason, wasClean)",
        ["message", 4403, "Forbidden", True],
        1,
    ),
}


@pytest.mark.parametrize("client", ENDINGS)
def test_a_user_who_has_to_go(open_page, server, client):
    """For a banned user, an EventSource retries once and stops; a WebSocket gets the reason."""
    script, expected, asked = ENDINGS[client]
    Staying.banned, Staying.asked = False, 0
    page = open_page(script, "/staying/room")
    server.publish({"n": 1})
    wait_for(page, 1)

    def go():
        Staying.banned = True
        return Staying.disconnect("ann")

    assert server.call(go) == 1
    wait_for(page, len(expected))
    page.wait_for_timeout(200)
    assert page.evaluate("got") == expected
    assert Staying.asked == asked


def test_unavailable(open_page, server):
    """An EventSource that is answered with 503 does not retry; the page must do that."""
    Refusing.asked = 0
    page = open_page(
        "source = new EventSource(url); source.onerror = () => got.push(source.readyState)",
        "/no/503",
    )
    wait_for(page, 1)
    page.wait_for_timeout(300)
    assert page.evaluate("[got, source.readyState]") == [[2], 2]
    assert Refusing.asked == 1


def test_cursor_survives_a_cut_before_the_first_event(open_page, server):
    """An EventSource that is cut before its first event resumes at the cursor of the stream."""
    server.publish({"n": 1})
    page = open_page(LISTENING)
    wait_for(page, 1)
    page.evaluate("source = null")
    page = open_page(LISTENING, "/events/room?last_event_id=" + page.evaluate("got[0][2]"))
    page.wait_for_timeout(100)
    server.call(server.proxy.cut)
    server.publish({"n": 2})
    wait_for(page, 1)
    page.wait_for_timeout(50)
    assert [data for _, data, _ in page.evaluate("got")] == [{"n": 2}]


def test_a_token_as_subprotocol(open_page, server):
    """A WebSocket with a token as a subprotocol gets that subprotocol, and the events."""
    page = open_page("""
        const socket = new WebSocket(url.replace('http', 'ws'), ['access_token', 'abc'])
        socket.onmessage = event => got.push([socket.protocol, JSON.parse(event.data).data])
        socket.onclose = event => got.push(event.code)
    """)
    wait_for(page, 1)
    server.publish({"n": 1})
    wait_for(page, 2)
    assert page.evaluate("got[1]") == ["access_token", {"n": 1}]
