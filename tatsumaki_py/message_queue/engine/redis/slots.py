"""Maps the slots of a cluster to its nodes.

Rule: the last node that was asked determines where a slot is, until a node says that the slot has
    moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

__all__ = ["Address", "Slots", "call_slot", "slot_of"]

Address = tuple[str, int]
"""Host and port."""

COUNT = REDIS_CLUSTER_HASH_SLOTS
SCRIPTS = {"EVAL", "EVALSHA"}
KEYLESS = {"ACL", "CLIENT", "CLUSTER", "CONFIG", "INFO", "PING", "SCRIPT", "TIME"}


class Slots:
    """The owners of all slots."""

    def __init__(self) -> None:
        self._owners: list[Address | None] = [None] * COUNT

    def load(self, reply: Sequence[Any], asked: Address) -> set[Address]:
        """Use the reply to CLUSTER SLOTS from the node `asked`. Returns the addresses in it."""
        owners: list[Address | None] = [None] * COUNT
        addresses = set()
        for first, last, (host, port, *_), *_ in reply:
            # A node that does not know its own name omits it.
            name = host.decode() if host else ""
            address = (asked[0] if name in ("", "?") else name, port)
            owners[first : last + 1] = [address] * (last + 1 - first)
            addresses.add(address)
        self._owners = owners
        return addresses

    def move(self, slot: int, address: Address) -> None:
        """A node has replied that the slot is now at `address`."""
        self._owners[slot] = address

    def owner(self, slot: int) -> Address | None:
        """The node that has the slot; None if there is none."""
        return self._owners[slot]


def slot_of(key: str | bytes) -> int:
    """The slot of a key or a channel.

    >>> slot_of("tats:{news}:s") == slot_of(b"{news}")
    True
    """
    return key_slot(key.encode() if isinstance(key, str) else key)


def call_slot(call: Sequence[Any]) -> int | None:
    """The slot of a command's keys; None if it has none.

    >>> call_slot(("EVALSHA", "1f", 1, "{news}")) == call_slot(("GET", "{news}")) == slot_of("news")
    True
    >>> call_slot(("PING",))
    """
    name = call[0].decode() if isinstance(call[0], bytes) else call[0]
    if name in KEYLESS or len(call) < 2:
        return None
    return slot_of(call[3 if name in SCRIPTS else 1])
