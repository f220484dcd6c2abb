"""A stream that frames what it sends in a way of its own."""


def test_frames(ported):
    """Each event is a script; text, and what `finish` adds, stays as it is."""
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
    """One that comes later gets the backlog, framed too."""
    ask = ported("frames")
    for text, last in (("a", ""), ("b", "1")):
        ask("/publish/room", "POST", {"text": text, "last": last})
    body = ask("/frame/room").body.decode()
    assert body.count("<script>") == 2
    assert body.endswith("bye")
