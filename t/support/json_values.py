"""A strategy for any JSON value, and a comparison of JSON values."""

import json

from hypothesis import strategies as st

ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def same(found, expected):
    """Fails unless the values are equal and have the same types: 0 does not equal false here."""
    assert json.dumps(found) == json.dumps(expected)
