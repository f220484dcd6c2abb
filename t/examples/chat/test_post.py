"""Posting to the chat program: the fields of an event, and hostile text, which must not run."""

import html
import json
import re
import time
from urllib.parse import urlencode

import pytest
from support.wire import read_reply

from tatsumaki_py import MessageQueue

LINK = re.compile(r'<a target="_blank" href="(?P<url>[^"<>]*)">(?P<text>[^"<>]*)</a>')


@pytest.mark.gen_test
async def test_an_event_has_these_fields(chat):
    """An event has a type, html, three fields of the sender or null, the address and the time."""
    reply = await chat.post(text="hello", ident="me@x", type="x", html="x", address="x", time="x")
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.body == b'{"success":1}'
    (event,) = chat.queue.backlog_events
    assert abs(event["time"] - time.time()) < 5
    assert dict(event, time=0) == {
        "type": "message",
        "html": "hello",
        "ident": "me@x",
        "avatar": None,
        "name": None,
        "address": "127.0.0.1",
        "time": 0,
    }


@pytest.mark.gen_test
async def test_text_is_kept(chat):
    """White space, control characters and other Unicode characters arrive unchanged."""
    text = " tab\t line\r\nend  \u2603 \U0001f600 e\u0301 esc\x1b nul\0 ;a=b+c%41 "
    await chat.post(text=text, name="\u0410\u043d\u044f", avatar="a\n")
    (event,) = await chat.events(await chat.poll("ann"))
    assert (event["html"], event["name"], event["avatar"]) == (text, "\u0410\u043d\u044f", "a\n")


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "\"'><svg/onload=alert(1)>",
        "&lt;b&gt; &amp;",
        "http://x/\"onmouseover='alert(1)'",
        "https://x/<script>alert(1)</script>",
        "http://'\"<>&",
        "javascript:alert(1)//http://x",
        "https://javascript:alert(1)",
        "http://a\0<b>",
        "HTTP://x/ www.x.y ftp://x http://",
        "\\1 \\g<1> http://\\1",
        "<a href=javascript:alert(1)>x</a>",
    ],
)
@pytest.mark.gen_test
async def test_nothing_typed_can_run(chat, text):
    """The html has no tags or quotes except those of its links, which are http URLs."""
    await chat.post(text=text)
    shown = chat.queue.backlog_events[0]["html"]
    rest = LINK.sub(lambda link: link["text"], shown)
    assert not re.search("[<>\"']", rest)
    assert html.unescape(rest) == text
    for link in LINK.finditer(shown):
        assert re.match("https?://", html.unescape(link["url"]))
        assert link["url"] == link["text"]


@pytest.mark.gen_test
async def test_addresses_are_links(chat):
    """URLs that begin with http:// or https:// become links."""
    await chat.post(text="see http://x.y/?a=1&b=2, and https://z")
    assert chat.queue.backlog_events[0]["html"] == (
        'see <a target="_blank" href="http://x.y/?a=1&amp;b=2">http://x.y/?a=1&amp;b=2</a>,'
        ' and <a target="_blank" href="https://z">https://z</a>'
    )


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("See https://x.y/a.", "https://x.y/a"),
        ("Is it https://x.y/a?!", "https://x.y/a"),
        ("(https://x.y/a)", "https://x.y/a"),
        ("<https://x.y/a>, and", "https://x.y/a"),
        ('"https://x.y/a"', "https://x.y/a"),
        ("'https://x.y/a'", "https://x.y/a"),
        ("[this](https://x.y/a)", "https://x.y/a"),
        ("[https://x.y/a]", "https://x.y/a"),
        ("**https://x.y/a**", "https://x.y/a"),
        ("https://x.y/a。", "https://x.y/a"),
        ("https://x.y/a&", "https://x.y/a"),
        ("https://x.y/a.b,c;d?e=f&g=h#i!j", "https://x.y/a.b,c;d?e=f&g=h#i!j"),
        ("https://x.y/Perl_(language).", "https://x.y/Perl_(language)"),
        ("(https://x.y/Perl_(language))", "https://x.y/Perl_(language)"),
        ("https://x.y/Rubik's_Cube", "https://x.y/Rubik's_Cube"),
        ("http://[::1]:80/a", "http://[::1]:80/a"),
        ("https://x.y/%29", "https://x.y/%29"),
        ("http:// and https://...", None),
    ],
)
@pytest.mark.gen_test
async def test_where_a_link_ends(chat, text, link):
    """Punctuation after a URL, and brackets around it, are not part of the link."""
    await chat.post(text=text)
    found = LINK.search(chat.queue.backlog_events[0]["html"])
    assert (found and html.unescape(found["url"])) == link


@pytest.mark.gen_test
async def test_the_last_of_several_counts(chat):
    """The last of two texts is published; a text can be empty, and can come from the query."""
    await chat.request("POST post", body=b"text=a&text=b")
    await chat.post(text="")
    reply = await read_reply(await chat.request("POST post?text=query"))
    assert reply.status == 200
    assert [event["html"] for event in chat.queue.backlog_events] == ["b", "", "query"]


@pytest.mark.parametrize("body", [b"", b"ident=me", b"text", b"Text=a", b"%74ex=a"])
@pytest.mark.gen_test
async def test_a_text_is_needed(chat, body):
    """A request without a text is answered with 400 and the reason, and publishes no event."""
    reply = await read_reply(await chat.request("POST post", body=body))
    if body == b"text":
        # A name without "=" is either ignored, as in Tornado, or an empty field.
        assert reply.status in (200, 400)
        return
    assert (reply.status, reply.body) == (400, b"missing parameter: text")
    assert reply.headers["content-type"] == "text/plain; charset=UTF-8"
    assert chat.queue.backlog_events == []


@pytest.mark.gen_test
async def test_a_form_in_parts(chat, raw):
    """A text in a multipart/form-data body is published."""
    body = b'--B\r\nContent-Disposition: form-data; name="text"\r\n\r\nhi \xe2\x98\x83\r\n--B--\r\n'
    client = await raw(chat.port)
    await client.send(
        b"POST /chat/room/post HTTP/1.1\r\nHost: x\r\n"
        b"Content-Type: multipart/form-data; boundary=B\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    assert (await read_reply(client)).status == 200
    assert chat.queue.backlog_events[0]["html"] == "hi \u2603"


@pytest.mark.gen_test
async def test_a_body_that_is_no_form_has_no_text(chat, raw):
    """A body of JSON is answered with 400."""
    client = await raw(chat.port)
    body = json.dumps({"text": "hi"}).encode()
    await client.send(
        b"POST /chat/room/post HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    assert (await read_reply(client)).status == 400


@pytest.mark.gen_test
async def test_a_megabyte_is_too_much(chat):
    """An event larger than max_event_size is answered with 413 and the limit."""
    limit = MessageQueue.max_event_size
    reply = await chat.post(text="x" * limit)
    assert reply.status == 413
    assert reply.body.startswith(b"an event of 10")
    assert str(limit).encode() in reply.body
    assert chat.queue.backlog_events == []
    text = "x" * (limit - 1000)
    assert (await chat.post(text=text)).status == 200
    (event,) = await chat.events(await chat.poll("ann"))
    assert event["html"] == text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (["Origin: http://localhost"], 200),
        (["Sec-Fetch-Site: same-origin"], 200),
        (["Origin: http://evil.example"], 403),
        (["Sec-Fetch-Site: cross-site"], 403),
        (["Origin: null"], 403),
    ],
)
@pytest.mark.gen_test
async def test_other_sites_cannot_post(chat, headers, status, expect_log):
    """A post from a page of another site is refused; one from the same site is not."""
    if status == 403:
        with expect_log("tornado.general", "403 POST"):
            reply = await chat.post(*headers, text="x")
    else:
        reply = await chat.post(*headers, text="x")
    assert reply.status == status
    assert len(chat.queue.backlog_events) == (status == 200)


@pytest.mark.parametrize("room", ["lobby", "a.b-c_9", "..", "poll", "x" * 1024])
@pytest.mark.gen_test
async def test_rooms(chat, room):
    """Letters, digits, "_", dots and dashes can name a room, in which clients get messages."""
    chat.room = room
    assert (await chat.post(text="hi")).status == 200
    assert len(await chat.events(await chat.poll("ann"))) == 1
    client = await chat.request(f"GET ../{room}")
    reply = await read_reply(client)
    assert reply.status == 404
    assert reply.body == b"404 Not Found"


@pytest.mark.parametrize("room", ["a%20b", "caf%C3%A9", "a%0a", "%00", "a%2Fb", ""])
@pytest.mark.gen_test
async def test_what_is_no_room(chat, room):
    """Requests for rooms with other names are answered with 404."""
    chat.room = room
    assert (await read_reply(await chat.request("GET poll?client_id=a"))).status == 404
    assert (await read_reply(await chat.request("POST post", body=b"text=a"))).status == 404


@pytest.mark.gen_test
async def test_a_room_with_a_name_without_end(chat):
    """A name of more than 1024 characters is answered with 400 and the reason."""
    chat.room = "x" * 1025
    for line, body in (
        ("GET poll?client_id=a", b""),
        ("POST post", urlencode({"text": 1}).encode()),
    ):
        reply = await read_reply(await chat.request(line, body=body))
        assert (reply.status, reply.body) == (
            400,
            b"a channel's name is longer than 1024 characters",
        )
