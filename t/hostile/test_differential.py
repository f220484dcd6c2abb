"""Tornado's server and the fast server get the same bytes: each difference must be documented."""

import asyncio

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support import requests_grammar as grammar
from support.differences import DIFFERENCES
from support.same_bytes import SameBytes, Side, first_difference

from tatsumaki_py.server.fast_server import FastServer
from tatsumaki_py.server.http_server import LIMITS, StrictServer

# Without shrinking, which would take a minute. The pieces of a stream are short anyway.
bounded = settings(
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def send(tmp_path_factory):
    """`tornado, fast = send(pieces, half_close)` returns the outcomes of both servers."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    path = tmp_path_factory.mktemp("sockets")

    async def start():
        sides = []
        for server_class in (StrictServer, FastServer):
            make = lambda app, server_class=server_class: server_class(app, **LIMITS)  # noqa: E731
            sides.append(Side(make, path / server_class.__name__))
        return SameBytes(*sides)

    same = loop.run_until_complete(start())
    yield lambda *args: loop.run_until_complete(same.send(*args))
    for side in same.sides:
        loop.run_until_complete(side.stop())
    asyncio.set_event_loop(None)
    loop.close()


def is_decided(data, outcomes, half_close):
    """Whether the outcomes agree, or differ in a documented way."""
    words = first_difference(*outcomes)
    if half_close == "early" and words and words[0] == "closed" and "answered" in words[1]:
        # Tornado does not always answer a client that has closed its side.
        return True
    return words is None or any(one.explains(data, words) for one in DIFFERENCES)


@pytest.mark.parametrize(
    ("difference", "data"),
    [(one, data) for one in DIFFERENCES for data in one.examples],
    ids=lambda value: getattr(value, "name", None) or value[:60].decode("latin-1"),
)
def test_decided(send, difference, data):
    """An example of each documented difference still differs, in one piece and byte by byte."""
    words = first_difference(*send([data]))
    assert words == difference.examples[data]
    assert difference.explains(data, words)


@given(requests=st.lists(grammar.sound(), min_size=1, max_size=4), data=st.data())
@settings(bounded, max_examples=250)
def test_sound(send, requests, data):
    """Both servers answer each valid request in the same way, and no request that is in a body."""
    stream = b"".join(bytes(request) for request, _ in requests)
    tornado, fast = send(data.draw(grammar.pieces(stream)))
    assert tornado == fast
    assert [(seen.method.encode(), seen.uri.encode(), seen.body) for seen in fast.seen] == [
        (request.method, request.target, body) for request, body in requests
    ]
    assert fast.answers == [200] * len(requests)
    assert fast.open


@given(requests=st.lists(grammar.sound(), min_size=1, max_size=4), data=st.data())
@settings(bounded, max_examples=100)
def test_half_closed(send, requests, data):
    """The fast server answers all requests that a client sent before it closed its side."""
    stream = b"".join(bytes(request) for request, _ in requests)
    _, fast = send(data.draw(grammar.pieces(stream)), "early")
    assert fast.answers == [200] * len(requests)
    assert not fast.open


@st.composite
def odd_streams(draw):
    """A malformed request between two valid ones."""
    around = st.lists(grammar.sound().map(lambda sound: bytes(sound[0])), max_size=1)
    stream = b"".join([*draw(around), bytes(draw(grammar.odd())), *draw(around)])
    return draw(grammar.pieces(stream))


@given(pieces=odd_streams(), half_close=st.sampled_from(["", "early", "late"]))
@settings(bounded, max_examples=500)
def test_odd(send, pieces, half_close):
    """The servers agree on a malformed request, and answer no request that is in a body."""
    outcomes = send(pieces, half_close)
    assert is_decided(b"".join(pieces), outcomes, half_close), (pieces, outcomes)
    for outcome in outcomes:
        assert not any(seen.uri == "/in" for seen in outcome.seen)


@given(
    data=grammar.mutated().flatmap(grammar.pieces),
    half_close=st.sampled_from(["", "early", "late"]),
)
@settings(bounded, max_examples=400)
def test_mutated(send, data, half_close):
    """The servers agree if bytes are missing, added or changed."""
    outcomes = send(data, half_close)
    assert is_decided(b"".join(data), outcomes, half_close), (data, outcomes)
