"""Hides, in logs, the values of URL parameters that carry a client's permission or name."""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

__all__ = ["without_secrets"]

_NAMES = {"client_id", "ticket"}
# The URL of a request may contain any visible character, even quotes and brackets.
_FIELD = re.compile(r"(?<=[?&])([^\s?&=]*)=([^\s&]*)", re.ASCII)
# Characters that may follow a URL in other text.
_AFTER = "'\">,)]}"


def without_secrets(text: str) -> str:
    """`text`, such as a URL or a log line, with ``...`` in place of the values of the parameters
    ``ticket`` and ``client_id``. A value ends at a space or an ampersand.

    >>> without_secrets("GET '/events/news?ticket=2_1.x&transport=sse' (127.0.0.1)")
    "GET '/events/news?ticket=...&transport=sse' (127.0.0.1)"
    >>> without_secrets("no '/events/news?ticket=2_1.x', sorry")
    "no '/events/news?ticket=...', sorry"
    """
    return _FIELD.sub(_shown, text) if "?" in text else text


def _shown(field: re.Match[str]) -> str:
    name, value = field.groups()
    # Decode the name: servers also accept percent-encoded names.
    if unquote_plus(name) not in _NAMES:
        return field[0]
    return f"{name}=...{value[len(value.rstrip(_AFTER)) :]}"
