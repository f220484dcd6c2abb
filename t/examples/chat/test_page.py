"""The chat page in a real browser, served by the real program."""

import json
import urllib.parse
import urllib.request

import pytest
from playwright.sync_api import expect
from support.browser import GONE

# How the original's URL chooses a transport; without a query, the page uses Server-Sent Events.
POLL, STREAM = "?transport=long-poll", "?mxhr=1"
NAMES = {
    "sse": "Server-Sent Events",
    "websocket": "WebSocket",
    "ndjson": "JSON lines",
    "multipart": "Multipart stream",
    "long-poll": "Long poll",
    "interval-poll": "Interval poll",
}

HOSTILE = [
    "<script>ran = 1</script>",
    "<img src=x onerror='ran = 1'>",
    "\"'></div><svg onload=ran=1>",
    "<a href=javascript:ran=1>press</a>",
    "javascript:ran=1//http:",
    "https://a.example/\"onmouseover='ran=1'",
    "https://b.example/<b>bold</b>",
    "\u202eturned\u2066",
    "nul\0 and escape\x1b[1m",
    "{{ 1 + 1 }} ${ran=1} &lt;b&gt;",
    "Z" + "\u0301" * 300,
]


@pytest.fixture
def chat(serve_program):
    """The running example."""
    return serve_program("examples/chat/app.py")


@pytest.fixture
def enter(chat, new_page):
    """`page = enter(STREAM, name="Ann")` opens a live page as a new visitor."""

    def enter(transport, name=""):
        page = new_page()
        page.goto(f"{chat.url}chat/room{transport}")
        expect_state(page, "live")
        page.get_by_label("Your name").fill(name)
        return page

    return enter


def expect_state(page, word):
    expect(page.get_by_role("status")).to_have_text(word, timeout=10_000)


def expect_texts(page, *texts):
    """Waits until the page shows exactly these messages, in this order."""
    expect(page.locator(".text")).to_have_text(list(texts), use_inner_text=True, timeout=10_000)


def expect_transport(page, transport):
    """Waits until the page is connected with this transport, and says so."""
    expect(page.locator("#status-by")).to_have_text(f"via {NAMES[transport]}")
    expect(page.get_by_label("Transport")).to_have_value(transport)


def say(page, text):
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def post(chat, **fields):
    """Posts a message as a client that is not the page."""
    body = urllib.parse.urlencode(fields).encode()
    urllib.request.urlopen(f"{chat.url}chat/room/post", body, timeout=5).close()


@pytest.mark.parametrize(("first", "second"), [("", POLL), (POLL, STREAM), (STREAM, "")])
def test_two_pages_see_each_other_at_once(enter, first, second):
    """Two pages with any transports show the same messages, and each marks its own."""
    ann, bob = enter(first, "Ann"), enter(second, "Bob")
    say(ann, "grüß dich 漢字 🎈")
    expect_texts(bob, "grüß dich 漢字 🎈")
    say(bob, "hello")
    say(bob, "again")
    for page in (ann, bob):
        expect_texts(page, "grüß dich 漢字 🎈", "hello", "again")
        # Two messages of one sender in a row share a head.
        expect(page.locator("article .name")).to_have_text(["Ann", "Bob"])
    expect(ann.locator(".own .text")).to_have_text(["grüß dich 漢字 🎈"])
    expect(bob.locator(".own .text")).to_have_text(["hello", "again"])


def test_the_transport_is_changed_live(chat, enter):
    """The menu changes the transport without loss or repetition; a reload keeps the choice."""
    page = enter("")
    expect_transport(page, "sse")
    texts = []
    for name in [*NAMES, "sse", "websocket"]:
        page.get_by_label("Transport").select_option(NAMES[name])
        texts.append(f"while going over to {name}")
        post(chat, text=texts[-1])
        expect_transport(page, name)
        expect_texts(page, *texts)
    page.reload()
    expect_transport(page, "websocket")
    expect_texts(page, *texts)


@pytest.mark.parametrize(
    ("query", "transport"),
    [
        ("", "sse"),
        ("?mxhr=1", "multipart"),
        ("?mxhr=0", "sse"),
        ("?transport=ndjson", "ndjson"),
        ("?transport=pigeon", "sse"),
    ],
)
def test_the_url_chooses_the_transport(enter, query, transport):
    """The URL chooses the transport, with `transport` or the original's parameter `mxhr`."""
    expect_transport(enter(query), transport)


def test_tabs_share_a_connection(chat, enter, page_errors):
    """Two tabs show the same messages, and the second still works when the first is closed."""
    ann = enter("", "Ann")
    tab = ann.context.new_page()
    page_errors.watch(tab)
    tab.goto(f"{chat.url}chat/room")
    expect_state(tab, "live")
    say(ann, "hello")
    say(tab, "hello yourself")
    for page in (ann, tab):
        expect_texts(page, "hello", "hello yourself")
    ann.close()
    say(tab, "alone")
    expect_texts(tab, "hello", "hello yourself", "alone")
    expect_state(tab, "live")


def test_a_transport_is_chosen_for_one_tab(chat, enter, page_errors):
    """A transport that is chosen in one tab is not used in the visitor's other tab."""
    page = enter("")
    tab = page.context.new_page()
    page_errors.watch(tab)
    tab.goto(f"{chat.url}chat/room")
    expect_transport(tab, "sse")
    for chosen in ("ndjson", "long-poll"):
        page.get_by_label("Transport").select_option(NAMES[chosen])
        expect_transport(page, chosen)
    say(tab, "hello")
    for shown, transport in ((page, "long-poll"), (tab, "sse")):
        expect_texts(shown, "hello")
        expect_transport(shown, transport)


def test_trying_now(chat, enter, page_errors):
    """While the page waits, its button reconnects it, although the page's clock has stopped."""
    page_errors.allow(GONE)
    page = enter("")
    button = page.get_by_role("button", name="Try now")
    expect(button).to_be_hidden()
    page.clock.install()
    page.clock.pause_at(4_000_000_000)
    chat.stop()
    page.clock.run_for(2_000)
    expect_state(page, "reconnecting")
    expect(page.locator("#status-why")).to_have_text("the server cannot be reached")
    chat.start()
    button.click()
    expect_state(page, "live")
    expect(button).to_be_hidden()


def test_nothing_falls_between_page_and_connection(chat, new_page):
    """A message that is posted after the page was rendered, but before it connects, is shown."""
    page = new_page()
    post(chat, text="before")

    def meanwhile(route):
        post(chat, text="meanwhile")
        route.continue_()

    page.route("**/tatsumaki.js", meanwhile)
    page.goto(f"{chat.url}chat/room")
    expect_texts(page, "before", "meanwhile")


def test_both_come_back_after_restarts(chat, enter, page_errors):
    """Pages say that the server is gone, reconnect automatically, and show each message once."""
    page_errors.allow(GONE)
    pages = enter(POLL, "Ann"), enter(STREAM, "Bob"), enter("", "Cid")
    texts = ["before"]
    say(pages[0], "before")
    for sender in pages:
        for page in pages:
            expect_texts(page, *texts)
        chat.stop()
        for page in pages:
            expect_state(page, "reconnecting")
        chat.start()
        for page in pages:
            expect_state(page, "live")
        texts.append(f"after restart {len(texts)}")
        say(sender, texts[-1])
    for page in pages:
        expect_texts(page, *texts)


@pytest.mark.parametrize("transport", ["", POLL, STREAM])
def test_nothing_is_lost_while_a_page_is_offline(chat, enter, page_errors, transport):
    """A page that was offline shows a message from that time once, when the network is back."""
    page_errors.allow("ERR_INTERNET_DISCONNECTED")
    page = enter(transport)
    post(chat, text="before")
    expect_texts(page, "before")
    page.context.set_offline(True)
    page.evaluate("dispatchEvent(new Event('online'))")  # do not wait for the dead connection
    expect_state(page, "offline")
    post(chat, text="meanwhile")
    page.context.set_offline(False)
    expect_texts(page, "before", "meanwhile")
    expect_state(page, "live")


@pytest.mark.parametrize("transport", [POLL, STREAM])
def test_waking_up_shows_nothing_twice(chat, enter, transport):
    """A page that replaces its connection after a wake-up continues at its cursor."""
    page = enter(transport)
    for number in range(3):
        post(chat, text=f"message {number}")
        page.evaluate("dispatchEvent(new Event('online'))")
    expect_texts(page, "message 0", "message 1", "message 2")
    expect_state(page, "live")


def test_a_text_that_was_not_sent_stays(chat, enter, page_errors):
    """A page keeps a text that it could not send, and says why."""
    page_errors.allow(GONE)
    page = enter(POLL)
    chat.stop()
    expect_state(page, "reconnecting")
    say(page, "dear all")
    expect(page.get_by_role("alert")).to_have_text("Not sent: the server cannot be reached")
    expect(page.get_by_label("Message", exact=True)).to_have_value("dear all")
    chat.start()
    expect_state(page, "live")
    page.keyboard.press("Enter")
    expect_texts(page, "dear all")
    expect(page.get_by_role("alert")).to_be_empty()
    expect(page.get_by_label("Message", exact=True)).to_have_value("")


def test_an_overlong_text_is_refused_in_words(enter, page_errors):
    """The page shows the server's reason for refusing a long text, and keeps the text."""
    page_errors.allow("413")
    page = enter(POLL)
    say(page, "x" * 1_500_000)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Not sent: ")
    assert "\n" not in alert.text_content()
    assert "the server answered" not in alert.text_content()  # the page's own words
    assert len(page.get_by_label("Message", exact=True).input_value()) == 1_500_000
    say(page, "short")
    expect_texts(page, "short")


def test_reload_remembers(enter):
    """After a reload, the page still knows the name, the link and the user's own messages."""
    page = enter(POLL, "Ann")
    page.get_by_text("Link or e-mail").click()
    page.get_by_label("A link or an e-mail address").fill("https://ann.example/~me")
    say(page, "hello")
    expect_texts(page, "hello")
    page.reload()
    expect(page.get_by_label("Your name")).to_have_value("Ann")
    expect(page.locator(".own .text")).to_have_text(["hello"])
    link = page.locator("article a.ident")
    expect(link).to_have_text("ann.example/~me")
    expect(link).to_have_attribute("href", "https://ann.example/~me")


def test_enter_sends_and_shift_enter_does_not(enter):
    """Enter sends a text, Shift-Enter begins a new line, and white space alone is not sent."""
    page = enter(POLL)
    say(page, "  \n ")
    say(page, "one")
    expect_texts(page, "one")
    page.keyboard.type("two")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("three")
    page.keyboard.press("Enter")
    expect_texts(page, "one", "two\nthree")


def test_who_types_fast_loses_nothing(enter):
    """A second text is sent even if the first one is still on its way."""
    page = enter(POLL)
    page.get_by_label("Message", exact=True).evaluate(
        """(text) => {
            for (const word of ["one", "two"]) {
                text.value = word;
                const enter = new KeyboardEvent("keydown", { key: "Enter", cancelable: true });
                text.dispatchEvent(enter);
            }
        }"""
    )
    expect_texts(page, "one", "two")
    expect(page.get_by_label("Message", exact=True)).to_have_value("")


@pytest.mark.parametrize("transport", [POLL, STREAM])
def test_hostile_input_stays_text(chat, enter, transport):
    """Hostile text, names, links and avatars run no script, and add only links to http URLs."""
    page = enter(transport)
    for text in HOSTILE:
        post(chat, text=text, name=text, ident=text, avatar=text)
    post(chat, text="the last one", name="n" * 5000, ident="i" * 5000, avatar="a" * 5000)
    shown = page.locator(".text")
    expect(shown).to_have_count(len(HOSTILE) + 1)
    for text, inner in zip(HOSTILE, shown.all_text_contents(), strict=False):
        assert inner.replace("\ufffd", "\0").replace("\0", "") == text.replace("\0", "")
    log = page.get_by_role("log")
    names = log.evaluate("log => [...log.querySelectorAll('*')].map(e => e.localName)")
    assert set(names) == {"p", "article", "span", "div", "bdi", "time", "a"}
    links = log.evaluate("log => [...log.querySelectorAll('[href]')].map(e => e.href)")
    assert len(links) == 4  # two texts, two idents
    assert all(link.startswith(("https://a.example/", "https://b.example/")) for link in links)
    attributes = "log => [...log.querySelectorAll('*')].flatMap(e => e.getAttributeNames())"
    assert not [name for name in log.evaluate(attributes) if name.startswith("on")]
    for link in log.locator("a").all():
        link.hover()
    assert page.evaluate("typeof ran") == "undefined"
    # The page is not wider than the window.
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_works_under_a_strict_policy_and_calls_nobody(chat, new_page):
    """The page works with the policy `default-src 'self'`, and sends requests to no other host."""
    page = new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))

    def with_policy(route):
        response = route.fetch()
        policy = {"Content-Security-Policy": "default-src 'self'"}
        route.fulfill(response=response, headers={**response.headers, **policy})

    page.route("**/chat/room", with_policy)
    page.goto(f"{chat.url}chat/room")
    expect_state(page, "live")
    post(chat, text="hello", name="Ann", avatar="https://else.example/face.png")
    expect_texts(page, "hello")
    assert all(url.startswith(chat.url) for url in asked), asked


def answer_polls(page, *answers):
    """Replaces the server's next answers by these: pairs of an id and events."""
    left = list(answers)

    def answer(route):
        event_id, events = left.pop(0) if left else ("", [])
        headers = {"Content-Type": "application/json", "Last-Event-ID": event_id}
        route.fulfill(headers=headers, body=json.dumps(events))

    page.route("**/events?*", answer)
    page.evaluate("dispatchEvent(new Event('online'))")  # makes the page poll again


def test_a_gap_is_told(enter):
    """The page shows a gap as a notice, together with the messages."""
    page = enter(POLL)
    gap = {"type": "gap", "after": "1-0"}
    answer_polls(page, ("2-0", [gap, {"type": "message", "html": "later", "time": 1}]))
    expect(page.get_by_text("messages may be missing here")).to_be_visible()
    expect_texts(page, "later")


def test_a_restart_is_told_once(chat, enter, page_errors):
    """After several restarts, only one notice has the full text: the one of the last restart."""
    page_errors.allow(GONE)
    page = enter(POLL)
    for number, notices in enumerate([1, 1, 2]):
        if number != 1:  # no message between the first two restarts
            say(page, f"message {number}")
            expect(page.get_by_text(f"message {number}")).to_be_visible()
        chat.stop()
        expect_state(page, "reconnecting")
        chat.start()
        expect_state(page, "live")
        expect(page.locator(".notice")).to_have_count(notices)
    expect(page.get_by_text("messages may be missing here")).to_have_count(1)
    expect(page.locator(".notice").last).to_contain_text("The server was restarted")


def test_an_id_is_shown_once(enter):
    """A message with a known id is shown once; a gap with a known id is shown again."""
    page = enter(POLL)
    one, two, three = ({"type": "message", "html": html} for html in ("one", "two", "three"))
    gap = {"type": "gap", "after": "1-0"}
    answer_polls(
        page,
        ("1-0", [one]),
        ("0-0", [gap]),
        ("2-0", [two]),
        ("1-0", [one]),
        ("0-0", [gap]),
        ("3-0", [three]),
    )
    expect_texts(page, "one", "two", "three")
    expect(page.locator(".notice")).to_have_count(2)


def test_html_is_built_anew(enter):
    """From an event with markup, the page shows only text and links to http URLs."""
    page = enter(POLL)
    html = (
        "one <img src=x onerror='ran = 1'><script>ran = 1</script><b>two</b>"
        " <a href='javascript:ran=1'>three</a> <a href='http://ok.example/' id='log'>four</a>"
    )
    answer_polls(
        page, ("1-0", [{"type": "message", "html": html, "time": "soon", "name": {}}, None, 7])
    )
    expect(page.locator(".text")).to_have_text("one ran = 1two three four")
    inner = page.locator(".text").inner_html()
    link = '<a href="http://ok.example/" target="_blank" rel="noopener noreferrer">four</a>'
    assert inner == f"one ran = 1two three {link}"
    assert page.evaluate("typeof ran") == "undefined"


def test_an_event_may_have_text(enter):
    """An event with `text` instead of `html` is shown as plain text."""
    page = enter(POLL)
    events = [
        {"type": "message", "text": "1 < 2 & <b>3</b>"},
        {"text": "without a type"},
        {"type": "message", "text": "no", "html": "yes"},
        {"type": "other", "text": "not for people"},
    ]
    answer_polls(page, ("1-0", events))
    expect_texts(page, "1 < 2 & <b>3</b>", "without a type", "yes")


LONG = "a-very-long-room-name.that-somebody_chose" * 3


@pytest.mark.parametrize(
    ("width", "height"), [(1280, 800), (844, 390), (667, 320), (390, 844), (320, 568)]
)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_the_window(chat, new_page, width, height, theme):
    """The page fits windows of desktops and phones, even with a long name of the room."""
    page = new_page(viewport={"width": width, "height": height}, color_scheme=theme)
    post(chat, text="hello")
    for room in ("room", LONG):
        page.goto(f"{chat.url}chat/{room}")
        expect_state(page, "live")
        root = "document.documentElement"
        size = page.evaluate(f"[{root}.scrollWidth, {root}.scrollHeight]")
        assert size == [width, height]
        assert page.get_by_role("log").bounding_box()["height"] > 180
        expect(page.get_by_label("Message", exact=True)).to_be_in_viewport(ratio=1)
        for label in ("Transport", "Another room"):
            expect(page.get_by_label(label)).to_be_in_viewport(ratio=1)


def test_what_to_try(enter):
    """The hint is open until the user closes it, and stays closed after a reload."""
    page = enter("")
    hint = page.get_by_text("Open this page in a second tab")
    expect(hint).to_be_visible()
    page.get_by_text("What to try").click()
    expect(hint).to_be_hidden()
    # The browser sends the event a moment later.
    page.wait_for_function("localStorage['chat.hint'] === 'closed'")
    page.reload()
    expect_state(page, "live")
    expect(hint).to_be_hidden()
    page.get_by_text("What to try").click()
    expect(hint).to_be_visible()


def test_a_reader_is_not_scrolled_away(chat, enter):
    """A page that is scrolled up does not scroll down for a new message, but shows a button."""
    page = enter(STREAM)
    for number in range(25):
        post(chat, text=f"line {number}")
    last = page.get_by_text("line 24")
    expect(last).to_be_in_viewport()
    log = page.get_by_role("log")
    log.evaluate("log => { log.scrollTop = 0 }")
    expect(last).not_to_be_in_viewport()
    post(chat, text="news")
    page.get_by_role("button", name="1 new message").click()
    expect(page.get_by_text("news")).to_be_in_viewport()
    expect(page.locator("#jump")).to_be_hidden()
