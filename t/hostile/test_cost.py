"""Bodies that are expensive to parse for their size do not block the event loop."""

import time

import pytest
from tornado.httputil import HTTPHeaders, RequestStartLine

from tatsumaki_py import Error, PublishHandler, Request
from tatsumaki_py.endpoint import json_events

SIZE = PublishHandler.max_body_size
# Seconds of CPU time of this thread. The promise is 50 ms; this machine may be slow or busy.
MUCH = 0.15


def filled(begin, unit, end, count=SIZE):
    """Repeats `unit` between `begin` and `end` to fill `count` bytes."""
    room = (SIZE - len(begin) - len(end)) // len(unit)
    return begin + unit * min(room, count) + end


BODIES = {
    "lists": filled(b'{"n":[', b"[],", b"0]}"),
    "lists that may be": filled(b'{"n":[', b"[],", b"0]}", 49_000),
    "objects that may be": filled(b'{"n":[', b'{"a":0},', b"0]}", 49_000),
    "events that may be": filled(b"[", b'{"a":[[],[]]},', b"{}]", 999),
    "too many events": filled(b"[", b"{},", b"{}]"),
    "integers": filled(b'{"n":[', b"1,", b"0]}", 99_000),
    "floats": filled(b'{"n":[', b"1.7976931348623157e308,", b"0]}"),
    "long integers": filled(b'{"n":[', b"9" * 1000 + b",", b"0]}"),
    "longer integers": filled(b'{"n":[', b"9" * 4299 + b",", b"0]}"),
    "one integer": filled(b'{"n":', b"9", b"}"),
    "empty strings": filled(b'{"n":[', b'"",', b'""]}'),
    "names": filled(b'{"a":0', b',"":0', b"}"),
    "commas in a string": filled(b'{"n":"', b",", b'"}'),
    "escapes": filled(b'{"n":"', b"\\n,", b'"}'),
    "backslashes": filled(b'{"n":"\\ud83d\\ude00', b"\\\\", b'"}'),
    "quotes": filled(b'{"n":"', b'\\"', b'"}'),
    "surrogates": filled(b'{"n":"', b"\\ud83d\\ude00", b'"}'),
    "space": filled(b"[", b" \n", b"]"),
    "deep": filled(b"", b"[", b""),
    "deep objects": filled(b'{"n":', b'{"n":', b"", 90_000),
    "nothing": filled(b"", b"\0", b""),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_json(body):
    """JSON is read or refused within the limit."""
    status = 200
    begin = time.thread_time()
    try:
        json_events.read(body, PublishHandler.max_values, PublishHandler.max_batch)
    except Error.HTTP as error:
        status = error.code
    assert time.thread_time() - begin < MUCH
    assert status in (200, 400, 413)


PART = b'--B\r\nContent-Disposition: form-data; name="a"'
FORMS = {
    "fields": b"a&" * 8_000_000,
    "escapes": b"%41" * 5_500_000,
    "escapes that may be": b"a=" + b"%41" * 999_999,
    "signs": b"a=" + b"+" * 16_000_000,
    "parts": b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 300_000 + b"--B--",
    "heads": (PART + b"a:\r\n" * 2500 + b"\r\n\r\n") * 99 + b"--B--",
    "parameters": (PART + b";a=b" * 2500 + b"\r\n\r\n\r\n") * 99 + b"--B--",
    "heads that may be": (PART + b"\r\n" + b"a:\r\n" * 200 + b"\r\n\r\n") * 99 + b"--B--",
    "a head without end": PART + b"a:\r\n" * 3_000_000 + b"--B--",
    "boundaries": b"--B\r\n" * 3_000_000 + b"--B--",
}


@pytest.mark.parametrize("body", FORMS.values(), ids=FORMS)
def test_form(body):
    """A form of the largest size that a `Server` accepts is read or refused within the limit."""
    multipart = body.startswith(b"--B")
    kind = "multipart/form-data; boundary=B" if multipart else "application/x-www-form-urlencoded"
    headers = HTTPHeaders({"Host": "x", "Content-Type": kind})
    line = RequestStartLine("POST", "/", "HTTP/1.1")
    request = Request(start_line=line, headers=headers, body=body)
    status = 200
    begin = time.thread_time()
    try:
        request._parse_body()
        assert len(request.body_parameters) == 1
    except Error.HTTP as error:
        status = error.code
    assert time.thread_time() - begin < MUCH
    assert status in (200, 400, 413)
