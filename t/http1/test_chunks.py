"""Chunked bodies, in whatever pieces they arrive."""

import gc
import weakref

import pytest
from tornado.httputil import HTTPInputError

from tatsumaki_py.http1.chunks import MAX_EXTRA, MAX_LINE, MAX_LINES, Chunks


def read(data, step=10**6, limit=10**6, max_size=10**6):
    """Reads `data` in pieces of `step` bytes, and returns the body and the unused rest."""
    chunks, waiting, body = Chunks(max_size), b"", []
    while data and not chunks.done:
        waiting, data = waiting + data[:step], data[step:]
        while not chunks.done:
            part, size = chunks.read(waiting, limit)
            assert len(part) <= limit
            waiting = waiting[size:]
            body.append(part)
            if not size:
                break
    return b"".join(body), chunks.done, waiting + data


BODY = b'5\r\nhello\r\n06;a=b;c="d"\r\n world\r\n1\r\n!\r\n0\r\nX: y\r\nZ: \r\n\r\n'


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("limit", [1, 4, 1000])
def test_pieces(step, limit):
    data = BODY + b"GET / HTTP/1.1\r\n"
    assert read(data, step, limit) == (b"hello world!", True, b"GET / HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "data",
    [
        b"x\r\n",
        b"\r\n",
        b"-1\r\n",
        b"+1\r\na\r\n",
        b"0x1\r\na\r\n",
        b"1_0\r\n",
        b" 1\r\na\r\n",
        b"1\na\r\n",
        b"1\r\nab\r\n",
        b"1\r\na\n",
        b"1\r\na0\r\n\r\n",
        b"1;a\0=b\r\na\r\n",
        b"ffffffffffffffffff\r\n",
        b"0\r\nX\r\n\r\n",
        b"0\r\nX : y\r\n\r\n",
        b"0\r\nX: y\n\r\n",
        b"0\r\n X: y\r\n\r\n",
    ],
)
@pytest.mark.parametrize("step", [1, 1000])
def test_malformed(data, step):
    with pytest.raises(HTTPInputError):
        read(data + b"x" * MAX_LINE + b"\r\n", step)


def test_limits():
    read(b"5\r\nhello\r\n0\r\n\r\n", max_size=5)
    with pytest.raises(HTTPInputError, match="too large"):
        read(b"6\r\n", max_size=5)
    with pytest.raises(HTTPInputError, match="too large"):
        read(b"3\r\nabc\r\n3\r\n", max_size=5)
    with pytest.raises(HTTPInputError, match="too long"):
        read(b"1;" + b"a" * MAX_LINE)
    extension = b"a" * 1000
    with pytest.raises(HTTPInputError, match="too many"):
        read(b"1;%b\r\na\r\n" % extension * (MAX_EXTRA // 1000 + 1))
    with pytest.raises(HTTPInputError, match="too many"):
        read(b"0\r\n" + b"X: %b\r\n" % extension * (MAX_EXTRA // 1000 + 1))


def test_one_call_is_short():
    """Chunks of one byte each are read in several calls."""
    data = b"1\r\na\r\n" * 10_000
    part, size = Chunks(10**6).read(data, 10**6)
    assert len(part) <= MAX_LINES
    assert size == len(part) * 6


def test_no_cycle():
    """A body that was read is in no reference cycle."""

    class Probe(Chunks):
        __slots__ = ("__weakref__",)

    gc.disable()
    try:
        chunks = Probe(10)
        chunks.read(b"5\r\nhe", 10)
        gone = weakref.ref(chunks)
        del chunks
        assert gone() is None
    finally:
        gc.enable()
