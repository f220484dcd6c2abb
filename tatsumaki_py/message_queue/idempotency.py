"""The answers to publishers that gave an idempotency key: a retry gets the same answer.

Rule: a key is remembered before the events are delivered, because a callback may publish under it.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from tatsumaki_py.error import HTTPError

__all__ = ["Answers", "check_keys", "digest_of"]

MAX_KEY = 255
OVERHEAD = 512
"""Bytes that a key takes in addition to its text and the ids."""


def check_keys(key: object, idempotency_key: object = None) -> None:
    """Raises `TypeError` if a key is not a `str`, or 400 if it is empty or too long. None stands
    for no key.
    """
    if key is not None:
        _check("key", "a key", key)
    if idempotency_key is not None:
        _check("idempotency_key", "an idempotency key", idempotency_key)


def _check(name: str, noun: str, key: object) -> None:
    if not isinstance(key, str):
        raise TypeError(f"{name} must be a str, not {type(key).__name__}")
    if not 1 <= len(key) <= MAX_KEY:
        raise HTTPError(400, f"{noun} must have 1 to {MAX_KEY} characters")


def digest_of(bodies: Sequence[bytes], key: str | None = None) -> bytes:
    """A digest that identifies these events, which were published with `key`."""
    digest = sha256()
    if key is not None:
        digest.update(b"%b:" % key.encode("utf-8", "surrogatepass"))
    for body in bodies:
        digest.update(b"%d:%b" % (len(body), body))
    return digest.digest()


def _size(key: str, ids: str) -> int:
    """Bytes that a key takes."""
    return OVERHEAD + 4 * len(key) + len(ids)


class Answers:
    """The ids for each key, oldest key first. Times are seconds of the caller's clock.

    >>> answers = Answers()
    >>> digest = digest_of([b"{}"])
    >>> answers.keep("key", digest, ["1-0"], now=0.0, limit=1000, max_size=10_000)
    >>> answers.find("key", digest, after=-300.0)
    ['1-0']
    """

    __slots__ = ("_known", "size")

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, bytes, str]] = {}
        self.size = 0
        """Bytes held."""

    def __len__(self) -> int:
        return len(self._known)

    def find(self, key: str, digest: bytes, after: float) -> list[str] | None:
        """The ids of the events with that digest, if they were published under `key` after that
        time; None if no events were. Raises 422 if different events were.
        """
        while self._known:
            oldest = next(iter(self._known))
            if self._known[oldest][0] > after:
                break
            self._forget(oldest)
        if key not in self._known:
            return None
        _, known, ids = self._known[key]
        if known != digest:
            raise HTTPError(422, "something else was published under this idempotency key")
        return ids.split()

    def keep(
        self,
        key: str,
        digest: bytes,
        ids: Sequence[str],
        now: float,
        limit: int,
        max_size: int,
    ) -> None:
        """Remember that the events with that digest were published under `key`. At most `limit`
        keys and `max_size` bytes are remembered in all; the oldest keys are dropped first.
        """
        # One string takes a third of the memory of a list.
        joined = " ".join(ids)
        if key in self._known:
            self._forget(key)
        self._known[key] = (now, digest, joined)
        self.size += _size(key, joined)
        while self._known and (len(self._known) > limit or self.size > max_size):
            self._forget(next(iter(self._known)))

    def _forget(self, key: str) -> None:
        _, _, joined = self._known.pop(key)
        self.size -= _size(key, joined)

    def clear(self) -> None:
        """Drop all keys."""
        self._known.clear()
        self.size = 0
