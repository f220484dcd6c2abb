"""Events: published values, read-only, with an id.

Rules:
1. A log keeps entries: the published JSON and little more. An `Event` is made from an entry when a
   program reads it, and is freed when neither the program nor the cache of recent events refers to
   it.
2. Entries and events never change: all subscribers share them.
3. Ids are ``"<milliseconds>-<sequence>"``, strictly increasing within a channel (the form of a
   Redis stream id; see `ids`). `prev` is the id of the previous event and reveals a gap.
4. An event is encoded once. `json` is the JSON that was published, byte for byte; `frames` are the
   bytes that transports have recently made of the JSON.
5. Kept memory is counted: `size` is the number of bytes of an entry, `work` is the cost of parsing
   its JSON.
6. An event is the published value, of any kind of JSON: there is a class of events for each kind
   (`_KINDS`).
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from tatsumaki_py.json_codec import Constant
from tatsumaki_py.message_queue.event_json import END, encode
from tatsumaki_py.message_queue.frozen import FrozenDict, FrozenList, parse
from tatsumaki_py.message_queue.ids import NOWHERE
from tatsumaki_py.message_queue.recent import Recent

__all__ = ["RECENT_EVENTS", "RECENT_FRAMES", "Entry", "Event", "encode", "loud"]

OVERHEAD = 512
"""Bytes that an entry takes in addition to its JSON."""
VALUE = 10
"""The number of bytes of JSON text that take as long to parse as one value."""


class Entry:
    """An event as a log keeps it; ``id``, ``prev``, ``json``, ``channel``, ``gap``, ``quiet`` and
    ``key`` as in `Event`.

    Args:
        json_bytes: the JSON that was published, in UTF-8.
        id: the id of the event.
        prev: the id of the event before it.

    Attributes:
        log: the log to which the id belongs: the name of a channel, or a tuple of names.
        time: when the event was published, in seconds of the event loop's clock; 0.0 if that is
            not known here.
    """

    # There may be millions of entries, and Python's garbage collector visits each object, so most
    # entries have no further objects.
    __slots__ = (
        "_event",
        "_frame",
        "_framing",
        "_more_frames",
        "_work",
        "channel",
        "gap",
        "id",
        "json",
        "key",
        "log",
        "prev",
        "quiet",
        "time",
    )

    def __init__(
        self,
        json_bytes: bytes,
        id: str,
        prev: str = NOWHERE,
        *,
        channel: str = "",
        gap: bool = False,
        quiet: bool = False,
        key: str | None = None,
    ) -> None:
        self.id = id
        self.prev = prev
        self.json = json_bytes
        self.channel = channel
        self.log: str | tuple[str, ...] = channel
        self.gap = gap
        self.quiet = quiet
        self.key = key
        self.time = 0.0
        self._work = 0
        self._framing: Any = None
        self._frame = b""
        self._more_frames: dict[Any, bytes] | None = None
        self._event: weakref.ref[Event] | None = None

    @classmethod
    def loss(cls, cursor: str, id: str, channel: str = "") -> Entry:
        """The entry of a gap: events after `cursor` are lost, and a client resumes from `id`."""
        # Its `prev` is `cursor`: a client that does not get the gap is still at that place.
        body = encode({"type": "gap", "after": cursor, "id": id})
        return cls(body, id, cursor, channel=channel, gap=True)

    @property
    def entry(self) -> Entry:
        """The entry itself; compare `Event.entry`."""
        return self

    @property
    def end(self) -> bool:
        """See `Event.end`."""
        return self.json == END

    @property
    def work(self) -> int:
        """The cost of making an event from the entry: the number of bytes of text that cost as
        much.
        """
        if not self._work:
            body = self.json
            values = body.count(b",") + body.count(b"[") + body.count(b"{")
            self._work = len(body) + VALUE * values
        return self._work

    @property
    def size(self) -> int:
        """The bytes of memory that the entry takes."""
        return len(self.json) + OVERHEAD

    @property
    def payload(self) -> bytes:
        """The data that a transport sends if it sends the id separately."""
        return self.json

    @property
    def envelope(self) -> bytes:
        """The data that a transport sends if it has no other place for the id; see `payload`."""
        if self.gap:
            return self.payload
        return b'{"id":"%b","data":%b}' % (self.id.encode(), self.json)

    def event(self) -> Event:
        """The value that a program gets."""
        event = None if self._event is None else self._event()
        if event is None:
            value = self.data()
            kind = _KINDS[type(value)]
            base = kind._base
            event = base.__new__(kind, value)
            if base is dict or base is list:
                base.__init__(event, value)
            event.entry = self
            if kind is not _IntegerEvent:  # An int has no weak references.
                self._event = weakref.ref(event)
                _events.add(event, _PARSED * self.work)
        return event

    @property
    def frames(self) -> dict[Any, bytes]:
        """The kept frames of the entry, by framing."""
        first = {} if self._framing is None else {self._framing: self._frame}
        return first | (self._more_frames or {})

    def frame(self, framing: Any) -> bytes | None:
        """The frame that `framing` made of the entry, if it is kept."""
        if self._framing is framing:
            return self._frame
        return None if self._more_frames is None else self._more_frames.get(framing)

    def keep_frame(self, framing: Any, frame: bytes) -> bytes:
        """Keep `frame`, which `framing` made of the entry, and return it."""
        if self._framing is None:
            self._framing, self._frame = framing, frame
        elif self._more_frames is None:
            self._more_frames = {framing: frame}
        else:
            self._more_frames[framing] = frame
        for entry in _framed.add(self, len(frame)):
            entry._framing = entry._more_frames = None
            entry._frame = b""
        return frame

    def data(self) -> Any:
        """The published value, read-only at every depth; it may be an event."""
        return parse(self.json)


_PARSED = 6
"""Bytes that an event takes for each byte of `Entry.work`."""
RECENT_FRAMES = RECENT_EVENTS = 4 * 1024 * 1024
"""Maximum bytes of recent frames to keep and, roughly, of recent events."""
_framed = Recent[Entry](RECENT_FRAMES)


if TYPE_CHECKING:

    class _Value(Any):  # type: ignore[misc]
        # For a type checker, an event may be used as any value.
        def __getattr__(self, name: str) -> Any: ...
        def __getitem__(self, key: Any) -> Any: ...
        def __iter__(self) -> Iterator[Any]: ...
else:
    _Value = object


class Event(_Value):
    """One event: the published value, read-only.

    A JSON object is a `dict`, an array a `list`, and so on. The events true, false and null equal
    ``True``, ``False`` and ``None``, but are other objects: write ``event == None``, not ``event is
    None``. A handler writes any event as JSON, and its `data` as the plain value.

    Attributes:
        data: the value alone: a read-only dict or list, or a plain str, int, float, bool or None.
        id (str): its id in the channel; a client sends it back as ``last_event_id``.
        prev (str): the id of the event before it.
        json (bytes): the JSON that was published, in UTF-8; the same `bytes` for every subscriber.
        channel (str): the name of its channel.
        gap (bool): True for the event that says that events are lost (its data is ``{"type": "gap",
            "after": <the cursor after which they are lost>, "id": <the cursor to resume from>}``).
        end (bool): True for the event that ends the channel (`MessageQueue.end`); its data is
            ``{"type": "end"}``.
        quiet (bool): whether only new clients get it (`MessageQueue.append_backlog`).
        key (str | None): the key under which it was published; new clients get only the last event
            of each key.

    >>> event = Event(b'{"type":"message","tags":["a"]}', "1700000000000-0")
    >>> event["type"], event.id
    ('message', '1700000000000-0')
    >>> dict(event, mine=True)
    {'type': 'message', 'tags': ['a'], 'mine': True}
    >>> text = Event(b'"hello"', "1700000000000-1")
    >>> text.upper(), text.id, isinstance(text, str), isinstance(text, Event)
    ('HELLO', '1700000000000-1', True, True)
    """

    __slots__ = ()

    entry: Entry
    """Its entry in the log."""
    # The class of the JSON value, from which the event's class inherits, and the class of `data`.
    _base: ClassVar[Any]
    _plain: ClassVar[Any]

    def __new__(
        cls,
        json_bytes: bytes,
        id: str,
        prev: str = NOWHERE,
        *,
        channel: str = "",
        gap: bool = False,
    ) -> Event:
        return Entry(json_bytes, id, prev, channel=channel, gap=gap).event()

    def __init__(self, *args: Any, **options: Any) -> None:
        # `__new__` has initialized it.
        pass

    def __reduce__(self) -> tuple[Any, ...]:
        # A pickle or deepcopy is not shared, so it is the plain value.
        return self._base, (self._base(self),)

    @property
    def data(self) -> Any:
        return self._plain(self)

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
    def end(self) -> bool:
        return self.entry.end

    @property
    def quiet(self) -> bool:
        return self.entry.quiet

    @property
    def key(self) -> str | None:
        return self.entry.key

    @property
    def frames(self) -> dict[Any, bytes]:
        """The recent frames of the event, by framing."""
        return self.entry.frames

    @property
    def log(self) -> Any:
        """The log to which `id` belongs: the name of a channel, or a tuple of names."""
        return self.entry.log

    @property
    def payload(self) -> bytes:
        """The data that a transport sends if it sends the id separately."""
        return self.entry.payload

    @property
    def envelope(self) -> bytes:
        """The data that a transport sends if it has no other place for the id."""
        return self.entry.envelope


class _ObjectEvent(Event, FrozenDict):
    __slots__ = ("__weakref__", "entry")
    _base, _plain = dict, FrozenDict


class _ListEvent(Event, FrozenList):
    __slots__ = ("__weakref__", "entry")
    _base, _plain = list, FrozenList


class _TextEvent(Event, str):
    __slots__ = ("__weakref__", "entry")
    _base = _plain = str


class _IntegerEvent(Event, int):
    # Subclasses of int have neither slots nor weak references.
    _base = _plain = int


class _RealEvent(Event, float):
    __slots__ = ("__weakref__", "entry")
    _base = _plain = float


class _ConstantEvent(Constant, Event):
    __slots__ = ("__weakref__", "entry")
    _base = Constant


_KINDS: dict[type, type[Event]] = {
    dict: _ObjectEvent,
    list: _ListEvent,
    str: _TextEvent,
    int: _IntegerEvent,
    float: _RealEvent,
    bool: _ConstantEvent,
    type(None): _ConstantEvent,
}
# The value of `Entry.data` may be an event itself.
_KINDS |= {kind: kind for kind in _KINDS.values()}

_events = Recent[Event](RECENT_EVENTS)


def loud(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """The entries without the quiet ones."""
    return tuple(entry for entry in entries if not entry.quiet)
