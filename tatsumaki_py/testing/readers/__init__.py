"""One reader for each transport."""

from __future__ import annotations

from tatsumaki_py.testing.readers.json_lines import JSONLines
from tatsumaki_py.testing.readers.multipart import Multipart
from tatsumaki_py.testing.readers.polls import IntervalPoll, LongPoll
from tatsumaki_py.testing.readers.reader import Reader
from tatsumaki_py.testing.readers.server_sent_events import ServerSentEvents
from tatsumaki_py.testing.readers.websocket import WebSocket

__all__ = ["READERS"]

READERS: dict[str, type[Reader]] = {
    "sse": ServerSentEvents,
    "websocket": WebSocket,
    "ndjson": JSONLines,
    "multipart": Multipart,
    "long-poll": LongPoll,
    "interval-poll": IntervalPoll,
}
"""The readers by the name of their transport, as in ``?transport=``."""
