"""The table of transports agrees with its documentation."""

import re

import pytest
from support.program import ROOT

from tatsumaki_py import Handler, SubscribeHandler
from tatsumaki_py.push.transports import TRANSPORTS, Poll, Streaming

GUIDE = (ROOT / "docs/guide/subscribing.md").read_text()
ROWS = list(TRANSPORTS.values())


def test_guide():
    """The table in the guide matches the table of transports."""
    lines = re.findall(r"^\| `.*\|$", GUIDE.split("| `?transport=` |")[1].split("\n\n")[0], re.M)
    assert lines == [
        f"| `{row.name}` | {row.by or f'`Accept: {row.media_types[0]}`'} | {row.gives} |"
        for row in ROWS
    ]


def test_docstring():
    """`SubscribeHandler` names each transport and the media type that asks for it."""
    words = set(re.findall(r"``([^`]+)``", SubscribeHandler.__doc__))
    for row in ROWS:
        assert row.name in words or row.name == "websocket"
        assert not row.media_types or row.media_types[0] in words


def test_nothing_is_there_twice():
    """Each name and each media type belongs to one transport only."""
    entries = [entry for row in ROWS for entry in row.media_types]
    assert len(set(entries)) == len(entries)
    assert all(name == row.name for name, row in TRANSPORTS.items())
    assert any(isinstance(row, Poll) and "*/*" in row.media_types for row in ROWS)


@pytest.mark.parametrize(
    "row", [row for row in ROWS if isinstance(row, Streaming)], ids=lambda row: row.name
)
def test_methods(row):
    """Each streaming transport has a method of `Handler`, which the guide names."""
    assert callable(getattr(Handler, row.method))
    assert f"`{row.method}(True)`" in GUIDE
    assert row.framing.content_type.startswith(row.media_types[0])
