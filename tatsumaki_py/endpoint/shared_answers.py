"""The answers to long polls. Clients that get the same events share the bytes of the body and, if
their headers are the same, the bytes of the head.

Rules:
1. Bytes are shared only if the normal way, `Handler.finish`, would make the same bytes. All headers
   of the handler are compared.
2. The normal way is taken if the class overrides a part of it, if the answer is transformed, or if
   the connection has no ``send_whole``.
3. Only the events of the last answer are kept (`batch.MAX_ANSWER`), with up to `MAX_HEADS`
   different heads.

Uses names that Tornado does not document: `_as_list`, `_finished`, `_headers`,
`_headers_written`, `_log`, `_new_cookie`, `_reason`, `_status_code`, `_transforms`, `_write_buffer`
(``t/handler/test_tornado_contract.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

from tatsumaki_py.answer_head import encode_ok
from tatsumaki_py.handler import Handler
from tatsumaki_py.message_queue.event import Entry
from tatsumaki_py.push.sent_headers import SentHeaders

__all__ = ["send_shared"]

MAX_HEADS = 8
"""The number of heads that are kept for the latest events, for example one for each origin."""


class _Answer(NamedTuple):
    headers: dict[str, list[str]]
    """The headers of its handler."""
    data: bytes
    sent: SentHeaders
    """All headers in `data`."""


class _Last:
    """The events of the latest answer, and the answers with these events."""

    __slots__ = ("answers", "body", "entries")

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        self.entries = entries
        self.body = b"[%b]" % b",".join([entry.payload for entry in entries])
        self.answers: list[_Answer] = []


_last = _Last(())


def send_shared(handler: Handler, entries: tuple[Entry, ...]) -> bool:
    """Finish the answer to a long poll with `entries`. If the normal way must be taken, do
    nothing and return False.
    """
    connection = handler.request.connection
    send = cast(Callable[[bytes], bool] | None, getattr(connection, "send_whole", None))
    if send is None or not _is_plain(handler):
        return False
    if handler._client_connection.hung_up():
        handler._client_gone()
        return True
    answer = _made(handler, entries)
    if answer is None or not send(answer.data):
        return False
    # From here on, do what Tornado's own `finish` does.
    connection.set_close_callback(None)  # type: ignore[union-attr]
    handler._headers, handler._headers_written = answer.sent, True
    try:
        handler._log()
        handler._finished = True
        handler.on_finish()
    finally:
        handler.ui = None  # type: ignore[assignment]
        if not handler._client_connection.when_sent(handler._sent) and handler._finished:
            handler._dismiss_watchers()
    return True


def _is_plain(handler: Handler) -> bool:
    """Whether the normal way would only send the events and the headers."""
    kind = type(handler)
    return (
        kind.finish is Handler.finish
        and kind.write is Handler.write
        and kind.flush is Handler.flush
        and kind.set_header is Handler.set_header
        and kind.compute_etag is Handler.compute_etag
        and kind.set_etag_header is Handler.set_etag_header
        and kind.check_etag_header is Handler.check_etag_header
        and handler.request.method == "GET"
        and handler._status_code == 200
        and handler._reason == "OK"
        and not handler._reframes
        and not handler._transforms
        and not handler._write_buffer
        and not handler._headers_written
        and not handler._peer_left()
        and not hasattr(handler, "_new_cookie")
    )


def _made(handler: Handler, entries: tuple[Entry, ...]) -> _Answer | None:
    """The answer with these `entries`; None if the normal way must be taken."""
    global _last
    last, headers = _last, handler._headers._as_list
    if entries != last.entries:
        last = _last = _Last(entries)
    for answer in last.answers:
        if answer.headers == headers:
            return answer
    if "Content-Length" in headers or "Etag" in headers:
        return None
    before = {name: [*values] for name, values in headers.items()}
    after = {**before, "Content-Type": ["application/json"]}
    if entries:
        after["Last-Event-Id"] = [entries[-1].id]
    after["Content-Length"] = [str(len(last.body))]
    head = encode_ok(after)
    if head is None:
        return None
    answer = _Answer(before, b"%b\r\n%b" % (head, last.body), SentHeaders.of(after))
    last.answers = [answer, *last.answers[: MAX_HEADS - 1]]
    return answer
