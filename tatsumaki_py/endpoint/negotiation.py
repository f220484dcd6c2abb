"""Finds the transport that a request asks for in the table of `tatsumaki_py.push.transports`.

Rule: a request for a transport that is not in the table is refused. The refusal lists the
transports.
"""

from __future__ import annotations

import random
from functools import lru_cache

from tatsumaki_py.error import HTTPError
from tatsumaki_py.push.transports import LONG_POLL, TRANSPORTS, WEBSOCKET, Transport
from tatsumaki_py.request import Request

__all__ = ["negotiate", "waiting_time"]

JITTER = 0.1
"""The fraction of its waiting time by which a long poll may be answered early."""
MAX_ENTRIES = 100
"""The most entries in an ``Accept`` header. Thousands would block the event loop."""
MAX_CACHED = 200
"""The most characters of a header whose meaning is cached."""


def negotiate(request: Request) -> Transport:
    """The transport that a request asks for: in the header ``Upgrade``, else in the parameter
    ``transport``, else in the header ``Accept``. A request without any of them is a long poll.

    Raises `Error.HTTP`: 400 for an unknown transport, 406 if no transport is acceptable or if there
    are more than `MAX_ENTRIES` entries, 426 for a WebSocket without its handshake.
    """
    headers = request.headers
    if "Upgrade" in headers and headers["Upgrade"].lower() == "websocket":
        return WEBSOCKET
    name = request.param("transport")
    if name == WEBSOCKET.name:
        raise HTTPError(426, "a WebSocket begins with its handshake")
    if name:
        if name not in TRANSPORTS:
            raise HTTPError(400, f"transport must be one of {', '.join(TRANSPORTS)}")
        return TRANSPORTS[name]
    if "Accept" not in headers or not headers["Accept"]:
        return LONG_POLL
    accept = headers["Accept"]
    rows = tuple(TRANSPORTS.values())
    return _acceptable(accept, rows) if len(accept) > MAX_CACHED else _known(accept, rows)


def _acceptable(accept: str, rows: tuple[Transport, ...]) -> Transport:
    """The row that an ``Accept`` header prefers."""
    known = {entry: row for row in rows for entry in row.media_types}
    weights = _weights(accept)
    for media_type in sorted(weights, key=weights.__getitem__, reverse=True):
        row = known.get(media_type)
        if row is None or not weights[media_type]:
            continue
        # A named media type takes precedence over a wildcard (RFC 9110 12.5.1).
        if "*" not in media_type or weights.get(row.media_types[0]) != 0:
            return row
    acceptable = (media_type for media_type in known if "*" not in media_type)
    raise HTTPError(406, f"the acceptable media types are {', '.join(acceptable)}")


# Most clients send one of a few different headers.
_known = lru_cache(maxsize=64)(_acceptable)


def waiting_time(request: Request, longest: float) -> float:
    """The seconds that a long poll waits: the parameter ``timeout``, but at most `longest` less a
    jitter, which is also the default. Raises 400 if the parameter is not a number, or is negative.
    """
    longest *= 1 - JITTER * random.random()
    asked = request.param("timeout")
    try:
        timeout = float(asked) if asked else longest
    except ValueError:
        timeout = -1.0
    if not timeout >= 0:
        raise HTTPError(400, "timeout must be a number of seconds, 0 or more")
    return min(timeout, longest)


def _weights(header: str) -> dict[str, float]:
    """The weight of each media type of an ``Accept`` header (RFC 9110 12.4.2). An invalid weight
    counts as 0.
    """
    if header.count(",") >= MAX_ENTRIES:
        raise HTTPError(406, f"the header Accept has more than {MAX_ENTRIES} entries")
    weights: dict[str, float] = {}
    for entry in header.split(","):
        media_type, *parameters = (part.strip().lower() for part in entry.split(";"))
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        weight = weight if 0 < weight <= 1 else 0.0
        weights[media_type] = max(weight, weights.get(media_type, 0.0))
    return weights
