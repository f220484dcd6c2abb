"""The values that a handler may write, and the bytes that they become."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tatsumaki_py.json_codec import JSON, JSONCodec
from tatsumaki_py.lean_handler import LeanHandler
from tatsumaki_py.message_queue.event import Entry, Event

__all__ = ["EncodingHandler", "EventEncoding", "reframes"]


class _Attribute:
    """The attribute `json` of a handler that does not set one."""

    def __get__(self, handler: EventEncoding | None, owner: type) -> JSONCodec:
        return JSON if handler is None else handler._json

    def __set__(self, handler: EventEncoding, codec: JSONCodec) -> None:
        handler._json = codec
        handler._reframes = True


class EventEncoding:
    """The encoding of events by a handler.

    Rule: unless `_reframes` is true, an event is sent as it was published, which costs nothing per
    subscriber.
    """

    if TYPE_CHECKING:
        json: JSONCodec = JSON
        """The encoder for values that are not text. Events were encoded when they were published; a
        handler with its own `json` encodes them again, once for each subscriber.
        """
    else:
        json = _Attribute()
    _json = JSON
    # Whether this handler encodes events in its own way.
    _reframes = False

    def _encode_event(self, event: Event) -> bytes:
        """The JSON of `event`, with its channel if the client reads several channels."""
        if self.json is JSON:
            return event.payload
        return self.json.encode(_value(event)).encode()


class EncodingHandler(EventEncoding, LeanHandler):
    """The encoding of text, bytes and JSON by a `Handler`."""

    binary = False
    """Whether `str` is written as Latin-1 instead of UTF-8. If so, code points above 255 raise
    `ValueError`.
    """

    def get_chunk(self, chunk: Any, *more: Any) -> bytes:
        """The bytes for the arguments of `write`. Sets the content type if one becomes JSON.

        Text becomes UTF-8 (Latin-1 if `binary`), bytes stay as they are, numbers become text,
        dicts, lists and tuples become JSON, and None becomes nothing. An event becomes JSON,
        whatever its value; for its text, write `Event.data`. Raises `TypeError` for anything else.

        Override this to encode events, or any other values, in your own way. It is called for each
        `stream_write`, even for a gap (`Event.gap`), and the transport frames its result. An event
        for which it returns nothing is not sent.
        """
        return self._encode(chunk) if not more else b"".join(map(self._encode, (chunk, *more)))

    def _chunk(self, chunk: Any, *more: Any) -> bytes:
        """The bytes of `get_chunk`, whose override may return text."""
        data: Any = self.get_chunk(chunk, *more)
        return data if isinstance(data, bytes) else self._encode(data)

    def _encode(self, chunk: Any) -> bytes:
        if isinstance(chunk, Event):
            self.set_header("Content-Type", "application/json")
            return self._encode_event(chunk)
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
        if chunk and not isinstance(chunk, dict):
            entries = [item.entry for item in chunk if isinstance(item, (Event, Entry))]
            if len(entries) == len(chunk):
                # The client sends this cursor with its next poll, and resumes there.
                self._headers["Last-Event-ID"] = entries[-1].id
                if self.json is JSON:
                    return b"[%b]" % b",".join([entry.payload for entry in entries])
                chunk = [_value(entry.event()) for entry in entries]
        return self.json.encode(chunk).encode()


def reframes(kind: type[EncodingHandler]) -> bool:
    """Whether handlers of this class encode events in their own way."""
    return kind.json is not JSON or kind.get_chunk is not EncodingHandler.get_chunk


def _value(event: Event) -> Any:
    """The value whose JSON is `Event.payload`."""
    if event.payload is event.json:
        return event.data
    return {"channel": event.channel, "data": event.data}
