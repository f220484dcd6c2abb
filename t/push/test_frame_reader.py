"""`FrameReader` accepts valid frames, and refuses invalid ones before they have arrived
completely.
"""

import itertools
from collections import deque

import pytest

from tatsumaki_py.push.frame_reader import FrameReader, RefusedFrame

MAX = 1000
TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
FIN = 0x80
MASK = b"\x01\x82\x03\xff"


def frame(first, payload=b"", size=None, masked=True):
    """A frame whose head claims a payload of `size` bytes."""
    size = len(payload) if size is None else size
    bit = 0x80 if masked else 0
    if size < 126:
        head = bytes([first, bit | size])
    elif size < 1 << 16:
        head = bytes([first, bit | 126]) + size.to_bytes(2)
    else:
        head = bytes([first, bit | 127]) + size.to_bytes(8)
    if not masked:
        return head + payload
    return head + MASK + bytes(a ^ b for a, b in zip(payload, itertools.cycle(MASK), strict=False))


TAKEN = {
    "ping": (frame(FIN | PING, b"hi"), [(PING, b"hi")]),
    "longest ping": (frame(FIN | PING, b"x" * 125), [(PING, b"x" * 125)]),
    "close": (frame(FIN | CLOSE, b"\x03\xe8bye"), [(CLOSE, b"\x03\xe8bye")]),
    "empty close": (frame(FIN | CLOSE), [(CLOSE, b"")]),
    "pong": (frame(FIN | PONG, b"x"), [(PONG, b"x")]),
    "messages": (frame(FIN | TEXT, b"x" * MAX) + frame(FIN | BINARY, b"\xff" * 200), []),
    "character in two": (
        frame(TEXT, b"\xe2\x98") + frame(FIN | PING) + frame(FIN, b"\x83"),
        [(PING, b"")],
    ),
    "fragments of nothing": (frame(TEXT) + frame(0) * 50 + frame(FIN), []),
}


@pytest.mark.parametrize(("data", "frames"), TAKEN.values(), ids=TAKEN)
@pytest.mark.parametrize("step", [1, 3, 10_000])
def test_taken(data, frames, step):
    """Control frames are returned and messages are dropped, however the bytes are split."""
    reader = FrameReader(MAX)
    parts = [data[at : at + step] for at in range(0, len(data), step)]
    assert [one for part in parts for one in reader.feed(part)] == frames
    assert reader.idle


REFUSED = {
    "unmasked": (1002, frame(FIN | TEXT, b"x", masked=False)),
    "unmasked ping": (1002, frame(FIN | PING, b"x", masked=False)),
    "reserved bits": (1002, bytes([FIN | 0x40 | TEXT, 0x80])),
    "reserved opcode": (1002, bytes([FIN | 0x3, 0x80])),
    "reserved control": (1002, bytes([FIN | 0xF, 0x80])),
    "ping in parts": (1002, bytes([PING, 0x81])),
    "close in parts": (1002, bytes([CLOSE, 0x82])),
    "long ping": (1002, bytes([FIN | PING, 0xFE])),
    "longer close": (1002, bytes([FIN | CLOSE, 0xFF])),
    "continues nothing": (1002, bytes([FIN, 0x81])),
    "two beginnings": (1002, frame(TEXT, b"x") + bytes([FIN | BINARY, 0x81])),
    "too big": (1009, frame(FIN | TEXT, size=MAX + 1)),
    "giant": (1009, frame(FIN | BINARY, size=2**63 - 1)),
    "giant and signed": (1009, frame(FIN | BINARY, size=2**64 - 1)),
    "too many fragments": (1009, frame(TEXT, b"x" * MAX) + frame(0, size=1)),
    "not UTF-8": (1007, frame(FIN | TEXT, b"\xff")),
    "half a character": (1007, frame(TEXT, b"\xe2") + frame(FIN, b"\x98")),
}


@pytest.mark.parametrize(("code", "data"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("step", [1, 10_000])
def test_refused(code, data, step):
    """An invalid frame is refused as soon as possible, with the code of RFC 6455 7.4.1."""
    reader = FrameReader(MAX)
    parts = [data[at : at + step] for at in range(0, len(data), step)]
    with pytest.raises(RefusedFrame) as refused:
        deque(itertools.chain.from_iterable(map(reader.feed, parts)), maxlen=0)
    assert refused.value.code == code
    assert len(refused.value.reason) < 123


def test_bounded():
    """The bytes of one message are bounded, and are freed at its end."""
    reader = FrameReader(MAX)
    for _ in range(MAX):
        list(reader.feed(frame(TEXT, b"x" * 10) + frame(FIN, b"x")))
        list(reader.feed(frame(FIN | PING, b"x" * 100)))
    assert reader.idle
    list(reader.feed(frame(TEXT, b"x" * MAX)))
    assert not reader.idle
    with pytest.raises(RefusedFrame):
        list(reader.feed(frame(0, b"x")))
