"""Events: what was published, read-only, with an id.

Rules:
1. A log keeps entries: the JSON that was published and little more. `Event` dicts are made from
   them for code of users, and live while somebody holds them, or they are among the `Recent` ones.
2. Neither ever changes after it was made: all subscribers have the same ones.
3. Ids are ``"<milliseconds>-<sequence>"``, strictly increasing within a channel (the form of a
   Redis stream id; see `ids`). `prev` is the id before: that is how a gap is noticed.
4. An event is encoded once. `json` is exactly what was published; `frames` are what the transports
   made of it lately.
5. What is kept is counted: `size` is what an entry takes, `work` what it costs to read it.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from tatsumaki_py.message_queue.frozen import FrozenDict, frozen
from tatsumaki_py.message_queue.ids import NOWHERE
from tatsumaki_py.message_queue.recent import Recent

__all__ = [
    "MAX_DEPTH",
    "RECENT_EVENTS",
    "RECENT_FRAMES",
    "Entry",
    "Event",
    "check_type",
    "depth",
    "encode",
    "loud",
    "parse",
]

OVERHEAD = 512
"""Bytes that an entry takes beside its JSON, and has at least."""
VALUE = 10
"""Bytes of JSON of text that are read in the time that one value takes."""
MAX_DEPTH = 100
"""How deep lists and dicts may be nested in an event; many parsers give up soon after that."""

_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def encode(data: Mapping[str, Any]) -> bytes:
    """`data` as JSON in UTF-8. Raises `TypeError` or `ValueError` if it is not a mapping that JSON
    can carry.
    """
    if not isinstance(data, Mapping):
        raise TypeError(f"an event is a dict, not {type(data).__name__}: publish({{...}})")
    try:
        body = _encoder.encode(data if isinstance(data, dict) else dict(data)).encode()
        if body.count(b"[") + body.count(b"{") > MAX_DEPTH and depth(json.loads(body)) > MAX_DEPTH:
            raise RecursionError
        return body
    except TypeError as error:
        raise TypeError(f"an event must be JSON: {error}") from None
    except RecursionError:
        raise ValueError(f"an event must be JSON: nested too deeply ({MAX_DEPTH} levels)") from None
    except ValueError as error:
        raise ValueError(f"an event must be JSON: {error}") from None


def check_type(data: Mapping[str, Any]) -> None:
    """Raises `ValueError` for a type of event that cannot be published."""
    if data.get("type") == "gap":
        # Not all transports have another way to tell a loss, and a cursor comes with it.
        raise ValueError('an event of type "gap" would be taken for a loss; give it another type')


def depth(value: Any) -> int:
    """How deep lists and dicts are nested in `value`, which was made of JSON."""
    levels, items = 0, [value]
    while items:
        levels += 1
        items = [
            item
            for value in items
            for item in (value.values() if type(value) is dict else value)
            if type(item) is dict or type(item) is list
        ]
    return levels


def parse(body: bytes) -> dict[str, Any]:
    """The mapping that `body` is as JSON, frozen within."""
    return {key: frozen(item) for key, item in json.loads(body).items()}


class Entry:
    """An event as a log keeps it.

    Attributes:
        id, prev, json, channel, gap, quiet: see `Event`.
        frames: what each transport made of it, by framing.
        work: what it costs to make a dict of it, in bytes of text that would cost as much.
    """

    __slots__ = ("_event", "channel", "frames", "gap", "id", "json", "prev", "quiet", "work")

    def __init__(
        self,
        json_bytes: bytes,
        id: str,
        prev: str = NOWHERE,
        *,
        channel: str = "",
        gap: bool = False,
        quiet: bool = False,
    ) -> None:
        self.id = id
        self.prev = prev
        self.json = json_bytes
        self.channel = channel
        self.gap = gap
        self.quiet = quiet
        self.frames: dict[Any, bytes] = {}
        values = json_bytes.count(b",") + json_bytes.count(b"[") + json_bytes.count(b"{")
        self.work = len(json_bytes) + VALUE * values
        self._event: weakref.ref[Event] | None = None

    @classmethod
    def loss(cls, cursor: str, id: str, channel: str = "") -> Entry:
        """The entry that tells that some after `cursor` are lost; one goes on from `id`."""
        # A client that does not get it is still where it was.
        body = encode({"type": "gap", "after": cursor, "id": id})
        return cls(body, id, cursor, channel=channel, gap=True)

    @property
    def entry(self) -> Entry:
        """Itself; an `Event` says its entry."""
        return self

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return len(self.json) + OVERHEAD

    @property
    def log(self) -> Any:
        """Whose `id` this is: the name of a channel, or a tuple of names."""
        return self.channel

    @property
    def payload(self) -> bytes:
        """What a transport sends that has a place for the id elsewhere."""
        return self.json

    @property
    def envelope(self) -> bytes:
        """What a transport sends that has no place for the id; see `payload`."""
        if self.gap:
            return self.payload
        return b'{"id":"%b","data":%b}' % (self.id.encode(), self.json)

    def event(self) -> Event:
        """The dict for code of users."""
        event = None if self._event is None else self._event()
        if event is None:
            event = Event.of(self)
            self._event = weakref.ref(event)
            _events.add(event, _PARSED * self.work)
        return event

    def keep_frame(self, framing: Any, frame: bytes) -> bytes:
        """`frame` is what `framing` makes of it."""
        self.frames[framing] = frame
        for entry in _framed.add(self, len(frame)):
            entry.frames.clear()
        return frame

    def data(self) -> dict[str, Any]:
        """What was published, frozen within."""
        return parse(self.json)


_PARSED = 6
"""Bytes that a dict takes for each byte of `Entry.work`."""
RECENT_FRAMES = RECENT_EVENTS = 4 * 1024 * 1024
"""Bytes of frames, and about as many of events, that are kept because they were made lately."""
_framed = Recent[Entry](RECENT_FRAMES)


class Event(FrozenDict):
    """One event: a read-only `dict` of what was published.

    Attributes:
        id: its id in the channel, to be sent back as ``last_event_id``.
        prev: the id of the event before it.
        json: what was published as JSON in UTF-8; the same `bytes` for every subscriber.
        channel: the name of its channel.
        gap: True for the event that tells a loss (its data is ``{"type": "gap", "after": <the
            cursor that is lost>, "id": <the one to go on from>}``).
        quiet: whether only newcomers get it (`MessageQueue.append_backlog`).

    >>> event = Event(b'{"type":"message","tags":["a"]}', "1700000000000-0")
    >>> event["type"], event.id
    ('message', '1700000000000-0')
    >>> dict(event, mine=True)
    {'type': 'message', 'tags': ['a'], 'mine': True}
    """

    __slots__ = ("__weakref__", "entry")

    entry: Entry
    """What the log keeps of it."""

    def __init__(
        self,
        json_bytes: bytes,
        id: str,
        prev: str = NOWHERE,
        *,
        channel: str = "",
        gap: bool = False,
    ) -> None:
        self.entry = Entry(json_bytes, id, prev, channel=channel, gap=gap)
        dict.__init__(self, self.entry.data())

    @classmethod
    def of(cls, entry: Entry) -> Event:
        """The event of an entry."""
        event = cls.__new__(cls)
        event.entry = entry
        dict.__init__(event, entry.data())
        return event

    @property
    def id(self) -> str:
        return self.entry.id

    @property
    def prev(self) -> str:
        return self.entry.prev

    @property
    def json(self) -> bytes:
        return self.entry.json

    @property
    def channel(self) -> str:
        return self.entry.channel

    @property
    def gap(self) -> bool:
        return self.entry.gap

    @property
    def quiet(self) -> bool:
        return self.entry.quiet

    @property
    def frames(self) -> dict[Any, bytes]:
        """What each transport made of it lately, by framing."""
        return self.entry.frames

    @property
    def log(self) -> Any:
        """Whose `id` this is: the name of a channel, or a tuple of names."""
        return self.entry.log

    @property
    def payload(self) -> bytes:
        """What a transport sends that has a place for the id elsewhere."""
        return self.entry.payload

    @property
    def envelope(self) -> bytes:
        """What a transport sends that has no place for the id."""
        return self.entry.envelope


_events = Recent[Event](RECENT_EVENTS)


def loud(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Those that are not for newcomers only."""
    return tuple(entry for entry in entries if not entry.quiet)
