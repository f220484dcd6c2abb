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
    for media_type in _accepted(accept):
        if media_type in known:
            return known[media_type]
    acceptable = (media_type for media_type in known if "*" not in media_type)
    raise HTTPError(406, f"acceptable are {', '.join(acceptable)}")


def _accepted(header: str) -> list[str]:
    """The media types of an ``Accept`` header (RFC 9110 12.5.1), best first."""
    if header.count(",") >= MAX_ENTRIES:
        raise HTTPError(406, f"the header Accept has more than {MAX_ENTRIES} entries")
    weighed = []
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
        if weight > 0:
            weighed.append((weight, media_type))
    weighed.sort(key=lambda pair: -pair[0])
    return [media_type for _, media_type in weighed]
