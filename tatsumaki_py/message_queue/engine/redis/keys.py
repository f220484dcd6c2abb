"""The names of keys and of pub/sub channels in Redis.

Rule: all keys of a channel have the same hash tag, so they are in one slot of Redis Cluster.
    Characters of the name that would end the tag are percent-encoded.
"""

from __future__ import annotations

__all__ = ["Keys", "process_channel", "tag"]


def tag(text: str) -> bytes:
    """`text` as a hash tag, without the braces.

    >>> tag("a}b"), tag("50%"), tag("")
    (b'a%7Db', b'50%25', b'%')
    """
    encoded = text.encode("utf-8", "surrogatepass").replace(b"%", b"%25").replace(b"}", b"%7D")
    # Redis does not accept empty braces as a tag.
    return encoded or b"%"


def process_channel(prefix: str, process: str) -> bytes:
    """The pub/sub channel for messages from other processes to this one."""
    return f"{prefix}:{{{process}}}:p".encode()


class Keys:
    """The names in Redis that belong to one channel.

    Attributes:
        messages: its pub/sub channel.
        stream: the kept events.
        last: a stream with the last event of each key.
        ids: a hash with the id and the bytes of each event in `last`, by key; its field "" has the
            total bytes of these events.
        top: the newest id, and the state of the channel that the scripts keep.

    >>> Keys("tats", "news").stream
    b'tats:{news}:s'
    """

    __slots__ = ("ids", "last", "messages", "stream", "top")

    def __init__(self, prefix: str, channel: str) -> None:
        self.messages = b"%b:{%b}" % (prefix.encode(), tag(channel))
        self.stream = self.messages + b":s"
        self.top = self.messages + b":t"
        # The scripts derive the names of these two from that of the stream.
        self.last = self.messages + b":l"
        self.ids = self.messages + b":h"

    def record(self, process: str) -> bytes:
        """The key under which the last publishing call of `process` is recorded."""
        return b"%b:w:%b" % (self.messages, process.encode())

    @property
    def answer(self) -> bytes:
        """The first part of the keys of answers. The idempotency key follows it."""
        return self.messages + b":i:"

    @property
    def answers(self) -> bytes:
        """The key of a sorted set of the known idempotency keys, by time."""
        return self.messages + b":k"
