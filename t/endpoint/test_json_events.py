"""`json_events.read` agrees with Python's own parser on valid and invalid JSON."""

import json

from hypothesis import given
from hypothesis import strategies as st
from support.json_values import ANY

from tatsumaki_py import Error
from tatsumaki_py.endpoint.json_events import read

OBJECTS = st.dictionaries(st.text(), ANY, max_size=5)
EVENTS = (OBJECTS | ANY).filter(lambda e: not (isinstance(e, dict) and e.get("type") == "gap"))
STYLES = st.fixed_dictionaries(
    {
        "ensure_ascii": st.booleans(),
        "indent": st.sampled_from([None, 0, 2, "\t"]),
        "separators": st.sampled_from([(",", ":"), (" , ", " : ")]),
    }
)
ENDS = st.sampled_from(["", " ", "\n", "\r\n\t"])


@given(EVENTS | st.lists(EVENTS, max_size=5), STYLES, ENDS, ENDS)
def test_json(sent, style, begin, end):
    """All events are read, whatever the style of the JSON, and none contains a line break."""
    body = (begin + json.dumps(sent, **style) + end).encode()
    events, several = read(body, 10_000, 1000)
    assert several is isinstance(sent, list)
    assert [json.loads(event) for event in events] == (sent if several else [sent])
    assert not any(b"\n" in event or b"\r" in event for event in events)


PIECES = [*'[]{}:,"\\ \n', "1", "-", "0", ".", "e9", "e999", "tru", "true", "NaN", '"a"', '{"a":1}']
PIECES += [
    "\\u",
    "d800",
    "dc00",
    "\\ud83d",
    "\\ude00",
    "\x00",
    "\u2028",
    "\u00e9",
    "\ufeff",
    '"type":',
]
NEARLY = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


@given(NEARLY.map(str.encode) | st.binary(max_size=20))
def test_what_is_nearly_json(body):
    """`read` returns the same values as Python, or refuses the body; no invalid event is
    accepted.
    """
    try:
        events, several = read(body, 1000, 1000)
    except Error.HTTP as error:
        status = error.code
        events, several = [], None
    else:
        status = 200
        found = json.loads(body)
        assert [json.loads(event) for event in events] == (found if several else [found])
        for event in events:
            json.dumps(json.loads(event), allow_nan=False, ensure_ascii=False).encode()
    assert status in (200, 400)


@given(NEARLY)
def test_bounds(text):
    """The number of values is never overestimated, except for empty lists and objects."""
    try:
        found = json.loads(text)
    except ValueError:
        return
    status = 200
    try:
        read(text.encode(), _most(found), 1000)
    except Error.HTTP as error:
        status = error.code
    assert status != 413


def _most(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + isinstance(value, (dict, list)) + sum(map(_most, inner))
