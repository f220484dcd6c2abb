"""The heads of streams. Clients whose handlers have the same headers share the bytes.

Rules:
1. Bytes are shared only if the normal way, `tornado.web.RequestHandler.flush`, would make the same
   bytes. All headers of the handler are compared.
2. The normal way is taken if the class overrides `set_header`, if the answer is transformed, has
   cookies or a status other than 200, or if the connection has no ``send_head``.
3. Only a few heads are kept. The cursor, which differs from client to client, is not part of them.

Uses names that Tornado does not document: `_as_list`, `_headers`,
`_headers_written`, `_new_cookie`, `_reason`, `_transforms`, `_write_buffer`
(``t/handler/test_tornado_contract.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

import tornado.web
from tornado.httputil import HTTPHeaders

from tatsumaki_py.answer_head import encode_ok
from tatsumaki_py.push.framing import Framing
from tatsumaki_py.push.peer_handler import PeerHandler

__all__ = ["PROMPT", "send_shared_head"]

# `no-transform`: a proxy that compresses would wait for more data.
PROMPT = {
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of a stream that keep proxies from holding back its bytes. A handler may set them itself.
"""

MAX_HEADS = 8
"""The number of heads that are kept. They differ by second (`Date`) and, for example, by origin."""

_CURSOR = "Last-Event-Id"


class _Head(NamedTuple):
    headers: dict[str, list[str]]
    """The headers of its handler."""
    data: bytes
    """The bytes, excluding the empty line at the end."""


_heads: list[_Head] = []
"""The heads that were used most recently, newest first."""


def send_shared_head(handler: PeerHandler, frames: Framing, cursor: str | None) -> bytes | None:
    """Send the head of a stream and the beginning of its body, and return this beginning. If the
    normal way must be taken, do nothing and return None.

    Args:
        frames: the framing of the stream, in chunks.
        cursor: the header Last-Event-ID of the answer.
    """
    connection = handler.request.connection
    send = cast(Callable[[bytes], bool] | None, getattr(connection, "send_head", None))
    if send is None or not _is_plain(handler):
        return None
    head, beginning = _made(handler._headers), frames.begin(cursor)
    if cursor is None:
        place = b""
    elif cursor.isascii() and cursor.isprintable():
        place = b"%b: %b\r\n" % (_CURSOR.encode(), cursor.encode())
    else:
        return None
    if head is None or not send(b"%b%b\r\n%b" % (head, place, beginning)):
        return None
    handler._headers_written = True
    return beginning


def _is_plain(handler: PeerHandler) -> bool:
    """Whether the normal way would only send the headers."""
    return (
        type(handler).set_header is tornado.web.RequestHandler.set_header
        and handler._reason == "OK"
        and handler.get_status() == 200
        and not handler._transforms
        and not handler._write_buffer
        and not hasattr(handler, "_new_cookie")
    )


def _made(headers: HTTPHeaders) -> bytes | None:
    """The head of a stream whose handler has `headers`; None if the normal way must be taken."""
    values = headers._as_list
    cursor = values.pop(_CURSOR, None)
    try:
        if cursor is not None and len(cursor) > 1:
            return None
        for head in _heads:
            if head.headers == values:
                return head.data
        if "Content-Length" in values or "Transfer-Encoding" in values:
            return None
        before = {name: [*each] for name, each in values.items()}
    finally:
        if cursor is not None:
            values[_CURSOR] = cursor
    added = {name: [value] for name, value in PROMPT.items() if name not in before}
    after = {**before, **added, "Connection": ["close"], "Transfer-Encoding": ["chunked"]}
    data = encode_ok(after)
    if data is not None:
        _heads[:] = [_Head(before, data), *_heads[: MAX_HEADS - 1]]
    return data
