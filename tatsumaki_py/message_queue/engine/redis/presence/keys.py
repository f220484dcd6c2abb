"""The names of the keys for named clients and their processes.

Rule: the keys of one set of channels are in one slot of Redis Cluster. The same applies to the keys
    of one process, and to the keys that all processes share.
"""

from __future__ import annotations

import json

from tatsumaki_py.message_queue.engine.redis.keys import tag

__all__ = [
    "AllKeys",
    "ClientKeys",
    "clients_of",
    "encoded",
    "milliseconds",
    "read_client",
    "swept_of",
    "written_client",
]


class ClientKeys:
    """The keys of the named clients of `channels`, which are sorted by name.

    Attributes:
        present: a hash with the process of each client.

    >>> ClientKeys("tats", ("news",)).present, ClientKeys("tats", ("a", "b")).place("me")
    (b'tats:{news}:n', b'tats:{a%,b}:c:me')
    """

    __slots__ = ("_base", "present")

    def __init__(self, prefix: str, channels: tuple[str, ...]) -> None:
        # In a tag, "%" is always followed by a hexadecimal digit, so no name contains this
        # separator.
        self._base = b"%b:{%b}" % (prefix.encode(), b"%,".join(map(tag, channels)))
        self.present = self._base + b":n"

    def place(self, client: str) -> bytes:
        """The key of the place of a client."""
        return b"%b:c:%b" % (self._base, encoded(client))


class AllKeys:
    """The keys that all processes share.

    Attributes:
        messages: the pub/sub channel to which all processes subscribe.
        log: a stream of the last commands for all processes.
        alive: a sorted set of the times until which each process counts as alive, in milliseconds;
            the time is negative while the clients of the process are being removed.

    >>> AllKeys("tats").log
    b'tats:{%all}:log'
    """

    __slots__ = ("alive", "log", "messages")

    def __init__(self, prefix: str) -> None:
        # No channel can have this tag; see `ClientKeys`.
        self.messages = b"%b:{%%all}" % prefix.encode()
        self.log = self.messages + b":log"
        self.alive = self.messages + b":alive"


def clients_of(prefix: str, process: str) -> bytes:
    """The key of a hash of the clients of a process. For each client, the hash has the milliseconds
    within which the client is expected back, and its hook.
    """
    return f"{prefix}:{{{process}}}:clients".encode()


def swept_of(prefix: str, process: str) -> bytes:
    """A key that exists if other processes have called hooks for clients of that process."""
    return f"{prefix}:{{{process}}}:swept".encode()


def written_client(channels: tuple[str, ...], client_id: str) -> bytes:
    """A client as a field of `clients_of`."""
    return json.dumps([*channels, client_id]).encode()


def read_client(field: bytes) -> tuple[tuple[str, ...], str]:
    """The inverse of `written_client`."""
    *channels, client_id = json.loads(field)
    return tuple(channels), client_id


def encoded(client_id: str) -> bytes:
    """A client as a field of the hash `ClientKeys.present`."""
    return client_id.encode("utf-8", "surrogatepass")


def milliseconds(seconds: float) -> int:
    """A time to live, in milliseconds for Redis: at least 1."""
    return max(int(1000 * min(seconds, 1e9)), 1)
