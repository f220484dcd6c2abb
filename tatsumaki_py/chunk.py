"""What a handler may write, and the bytes that it becomes."""

from __future__ import annotations

import json
import operator
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import tornado.web

from tatsumaki_py.message_queue.event import Event

__all__ = ["JSON", "ChunkHandler", "JSONCodec"]


class JSONCodec(Protocol):
    """What `Handler.json` may be."""

    def encode(self, o: Any, /) -> str:
        """`o` as JSON."""


JSON: JSONCodec = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class ChunkHandler(tornado.web.RequestHandler):
    """What `Handler` knows of text, bytes and JSON."""

    json: ClassVar[JSONCodec] = JSON
    """Encodes what is not text. Events are encoded once, when they are published, and never by
    this.
    """
    binary = False
    """Whether `str` is written as Latin-1 instead of UTF-8. Code points above 255 raise then."""

    def get_chunk(self, chunk: Any, *more: Any) -> bytes:
        """The bytes for what `write` was given; sets the content type if there is JSON among it.

        Text is UTF-8 (Latin-1 if `binary`), bytes stay as they are, numbers are written out, dicts,
        lists and tuples are JSON, None is nothing. Anything else is a `TypeError`.
        """
        return self._encode(chunk) if not more else b"".join(map(self._encode, (chunk, *more)))

    def _encode(self, chunk: Any) -> bytes:
        if isinstance(chunk, str):
            return chunk.encode("latin-1" if self.binary else "utf-8")
        if isinstance(chunk, (bytes, bytearray, memoryview)):
            return bytes(chunk)
        if isinstance(chunk, (dict, list, tuple)):
            self.set_header("Content-Type", "application/json")
            return self._encode_json(chunk)
        if isinstance(chunk, (int, float)) and not isinstance(chunk, bool):
            return str(chunk).encode()
        if chunk is None:
            return b""
        raise TypeError(
            f"write takes text, bytes, numbers, dicts, lists and tuples, not {type(chunk).__name__}"
        )

    def _encode_json(self, chunk: dict[Any, Any] | list[Any] | tuple[Any, ...]) -> bytes:
        if isinstance(chunk, Event):
            return chunk.payload
        if chunk and not isinstance(chunk, dict) and all(isinstance(item, Event) for item in chunk):
            # So that who loses this answer can say where it was.
            self.set_header("Last-Event-ID", chunk[-1].id)
            return _joined(chunk)
        return self.json.encode(chunk).encode()


_last: tuple[Sequence[Event], bytes] = ((), b"[]")


def _joined(events: Sequence[Event]) -> bytes:
    """The events as a JSON list. Who waited together is answered with the same bytes."""
    global _last
    known, body = _last
    if len(events) != len(known) or not all(map(operator.is_, events, known)):
        body = b"[" + b",".join([event.payload for event in events]) + b"]"
        _last = (tuple(events), body)
    return body
