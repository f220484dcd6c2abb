"""Parameters of a URL by which a client shows what it may do or which place is its own: no log has
their values.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

__all__ = ["without_secrets"]

_NAMES = {"client_id", "ticket"}
_FIELD = re.compile(r"(?<=[?&])([^\s?&=]*)=[^\s&'\"<>]*", re.ASCII)


def without_secrets(text: str) -> str:
    """`text`, such as a URL or a line of a log, with ``...`` in place of the values of the
    parameters ``ticket`` and ``client_id``.

    >>> without_secrets("GET /events/news?ticket=2_1.x&transport=sse (127.0.0.1)")
    'GET /events/news?ticket=...&transport=sse (127.0.0.1)'
    """
    return _FIELD.sub(_shown, text) if "?" in text else text


def _shown(field: re.Match[str]) -> str:
    # A server takes a name that is percent-encoded, too.
    return f"{field[1]}=..." if unquote_plus(field[1]) in _NAMES else field[0]
