"""The transport that a request asks for, by the table in `tatsumaki_py.push.transports`.

Rule: a request that asks for no transport of the table is refused, and the refusal lists them.
"""

from __future__ import annotations

from tatsumaki_py.error import HTTPError
from tatsumaki_py.push.transports import LONG_POLL, TRANSPORTS, WEBSOCKET, Transport
from tatsumaki_py.request import Request

__all__ = ["negotiate"]

MAX_ENTRIES = 100
"""Entries of one ``Accept`` header; thousands would take the loop's time."""


def negotiate(request: Request) -> Transport:
    """The transport that a request asks for: by the header ``Upgrade``, else by the parameter
    ``transport``, else by the header ``Accept``. A request without any of them is a long poll.

    Raises `Error.HTTP`: 400 for a transport that is none, 406 if nothing is acceptable or there are
    more than `MAX_ENTRIES` entries, 426 for a WebSocket without its handshake.
    """
    if request.headers.get("Upgrade", "").lower() == "websocket":
        return WEBSOCKET
    name = request.param("transport")
    if name == WEBSOCKET.name:
        raise HTTPError(426, "a WebSocket begins with its handshake")
    if name:
        if name not in TRANSPORTS:
            raise HTTPError(400, f"transport is one of {', '.join(TRANSPORTS)}")
        return TRANSPORTS[name]
    accept = request.headers.get("Accept")
    if not accept:
        return LONG_POLL
    known = {entry: row for row in TRANSPORTS.values() for entry in row.media_types}
    weights = _weights(accept)
    for media_type in sorted(weights, key=weights.__getitem__, reverse=True):
        row = known.get(media_type)
        if row is None or not weights[media_type]:
            continue
        # RFC 9110 12.5.1: a media type that is named counts more than a wildcard.
        if "*" not in media_type or weights.get(row.media_types[0]) != 0:
            return row
    acceptable = (media_type for media_type in known if "*" not in media_type)
    raise HTTPError(406, f"acceptable are {', '.join(acceptable)}")


def _weights(header: str) -> dict[str, float]:
    """The weight of each media type of an ``Accept`` header (RFC 9110 12.4.2); a weight that is
    none is 0.
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
