"""Events: what was published, read-only, with an id.

Rules:
1. An event never changes after it was made: every subscriber, and the log, has the same object.
2. Ids are ``"<milliseconds>-<sequence>"``, strictly increasing within a channel (the form of a
   Redis stream id; see `ids`). `prev` is the id before: that is how a gap is noticed.
3. An event is encoded once. `json` is exactly what was published; `frames` caches what a transport
   makes of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from tatsumaki_py.message_queue.ids import NOWHERE

__all__ = ["Event", "check_type", "encode", "loud"]

_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def encode(data: Mapping[str, Any]) -> bytes:
    """`data` as JSON in UTF-8. Raises `TypeError` or `ValueError` if it is not a mapping that JSON
    can carry.
    """
    if not isinstance(data, Mapping):
        raise TypeError(f"an event is a dict, not {type(data).__name__}: publish({{...}})")
    try:
        return _encoder.encode(data if isinstance(data, dict) else dict(data)).encode()
    except TypeError as error:
        raise TypeError(f"an event must be JSON: {error}") from None
    except RecursionError:
        raise ValueError("an event must be JSON: nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"an event must be JSON: {error}") from None


def check_type(data: Mapping[str, Any]) -> None:
    """Raises `ValueError` for a type of event that cannot be published."""
    if data.get("type") == "gap":
        # Not all transports have another way to tell a loss, and a cursor comes with it.
        raise ValueError('an event of type "gap" would be taken for a loss; give it another type')


def _refuse(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
    raise TypeError(
        "an event is read-only, for others get it too; make a copy: dict(event, key=value)"
    )


class _FrozenDict(dict[str, Any]):
    __slots__ = ()
    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        # A pickle or deepcopy is somebody's own: a plain dict.
        return dict, (dict(self),)


class _FrozenList(list[Any]):
    __slots__ = ()
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)


def _frozen(value: Any) -> Any:
    if type(value) is dict:
        return _FrozenDict({key: _frozen(item) for key, item in value.items()})
    if type(value) is list:
        return _FrozenList(map(_frozen, value))
    return value


class Event(_FrozenDict):
    """One event: a read-only `dict` of what was published.

    Attributes:
        id: its id in the channel, to be sent back as ``last_event_id``.
        prev: the id of the event before it.
        json: what was published as JSON in UTF-8; the same `bytes` for every subscriber.
        frames: what each transport made of it, by framing.
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

    __slots__ = ("channel", "frames", "gap", "id", "json", "prev", "quiet")

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
        try:
            data = {key: _frozen(item) for key, item in json.loads(json_bytes).items()}
        except RecursionError:
            raise ValueError("an event must be JSON: nested too deeply") from None
        dict.__init__(self, data)
        self.id = id
        self.prev = prev
        self.json = json_bytes
        self.channel = channel
        self.frames: dict[Any, bytes] = {}
        self.gap = gap
        self.quiet = quiet

    @classmethod
    def loss(cls, cursor: str, id: str, channel: str = "") -> Event:
        """The event that tells that some after `cursor` are lost; one goes on from `id`."""
        # A client that does not get it is still where it was.
        body = encode({"type": "gap", "after": cursor, "id": id})
        return cls(body, id, cursor, channel=channel, gap=True)


def loud(events: Sequence[Event]) -> tuple[Event, ...]:
    """Those that are not for newcomers only."""
    return tuple(event for event in events if not event.quiet)
