"""A stream with custom framing."""


def test_frames(ported):
    """Each event is sent as a script; other text and the text of `finish` are sent unchanged."""
    ask = ported("frames")
    with ask.open("/frame/room") as frame:
        assert frame.headers["Content-Type"] == "text/html; charset=UTF-8"
        assert frame.headers["X-Frame-Options"] == "SAMEORIGIN"
        assert frame.readline() == b"<!doctype html>\n"
        assert ask("/publish/room", "POST", {"text": "a</b"}).body == b'{"success":1}'
        first = frame.readline()
        assert first == b'<script>parent.on_event({"text":"a<\\/b","last":false})</script>\n'
        ask("/publish/room", "POST", {"text": "\u2603", "last": 1})
        rest = '<script>parent.on_event({"text":"\u2603","last":true})</script>\nbye'
        assert frame.read().decode() == rest


def test_newcomer(ported):
    """A new client gets the backlog, with the same framing."""
    ask = ported("frames")
    for text, last in (("a", ""), ("b", "1")):
        ask("/publish/room", "POST", {"text": text, "last": last})
    body = ask("/frame/room").body.decode()
    assert body.count("<script>") == 2
    assert body.endswith("bye")
