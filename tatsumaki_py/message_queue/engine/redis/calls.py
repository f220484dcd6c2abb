"""A call of the publishing script, and the meaning of its reply. Servers and `Publisher` both use
this module.

Rule: this module does not import redis-py, and sends nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from tatsumaki_py.error import HTTPError
from tatsumaki_py.message_queue.engine.redis.keys import Keys
from tatsumaki_py.message_queue.engine.redis.wire import (
    PLAIN,
    Mark,
    ids_from,
    key_bytes,
    pack,
    size_of,
)
from tatsumaki_py.message_queue.idempotency import digest_of

__all__ = ["MAX_EVENTS", "MAX_SIZE", "Accepted", "Late", "check_size", "publish_call", "read_reply"]

MAX_EVENTS = 1000
"""Maximum number of events in one call. Redis does nothing else during a call."""
MAX_SIZE = 4 * 1024 * 1024
"""Maximum bytes of the events in one call, counting 512 bytes of overhead for each."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The events are accepted.

    Attributes:
        prev: the newest id before them.
        ids: the ids of the events.
        now: the clock of Redis, in milliseconds since the epoch.
    """

    prev: str
    ids: list[str]
    now: int


@dataclass(frozen=True, slots=True)
class Late:
    """The call arrived after its deadline or after a later call: its events are not accepted."""

    now: int


def check_size(bodies: Sequence[bytes]) -> None:
    """Raise 413 if these events are too many or too large for one call."""
    if len(bodies) > MAX_EVENTS:
        raise HTTPError(413, f"one publish can have up to {MAX_EVENTS} events, not {len(bodies)}")
    size = size_of(bodies)
    if size > MAX_SIZE:
        text = f"the events of one publish can have up to {MAX_SIZE} bytes, not {size}"
        raise HTTPError(413, text)


def publish_call(
    keys: Keys,
    process: str,
    number: int,
    bodies: Sequence[bytes],
    marks: Sequence[Mark] = (),
    *,
    settings: str = "",
    top_time: float,
    idempotency_key: str | None = None,
    deadline: int | None = None,
) -> list[bytes | str | int]:
    """The arguments of EVALSHA or EVAL after the script.

    Args:
        keys: the keys of the channel.
        process: a random name of the publisher.
        number: the number of the call. Later calls of the process have greater numbers. A call that
            is repeated because its reply was lost keeps its number.
        bodies: the events, as JSON; see `check_size`.
        marks: the mark of each event. If empty, all are plain.
        settings: see `wire.stored_settings`. If empty, the settings stored by a server apply.
        top_time: seconds for which Redis remembers the newest id.
        idempotency_key: the idempotency key of the events; all of them have the same mark.
        deadline: when Redis stops accepting the events, in milliseconds of its clock.
    """
    named = keys.record(process)
    if idempotency_key is not None:
        named = keys.answer + key_bytes(idempotency_key)
    names = [keys.stream, keys.top, named]
    call: list[bytes | str | int] = [
        pack(bodies, marks or [PLAIN] * len(bodies)) if bodies else b"",
        settings,
        int(1000 * top_time),
        secrets.randbits(30),
        keys.messages,
        number,
        "" if deadline is None else deadline,
    ]
    if idempotency_key is not None:
        names.append(keys.answers)
        digest = digest_of(bodies, marks[0].key if marks else None)
        call += [digest.hex()[:32], keys.answer, key_bytes(idempotency_key)]
    if any(mark.key is not None for mark in marks):
        # Only if necessary: while a slot of a cluster is moving, a call fails if one of its keys
        # does not exist.
        names += [keys.last, keys.ids]
    return [len(names), *names, *call]


def read_reply(reply: bytes, count: int) -> Accepted | Late:
    """Parse the script's answer to a call with `count` events. Raises 422 if different events were
    published under the idempotency key.
    """
    words = reply.decode().split()
    if words[0] == "!other":
        raise HTTPError(422, "something else was published under this idempotency key")
    if words[0] == "!late":
        return Late(int(words[1]))
    if words[0] == "!none":
        return Accepted("", [], 0)
    prev, first, now = words
    return Accepted(prev, ids_from(first, count), int(now))
