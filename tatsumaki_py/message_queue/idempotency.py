"""What was published under which key, so that who asks again gets the same answer.

Rule: a key is remembered before anybody is told of its events: it may be used again by who is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from tatsumaki_py.error import HTTPError

__all__ = ["Answers", "check_key"]

MAX_KEY = 255


def check_key(key: object) -> None:
    """Raises `TypeError`, or 400 if it has no or too many characters."""
    if not isinstance(key, str):
        raise TypeError(f"idempotency_key is a str, not {type(key).__name__}")
    if not 1 <= len(key) <= MAX_KEY:
        raise HTTPError(400, f"an idempotency key has 1 to {MAX_KEY} characters")


def _digest(bodies: Sequence[bytes]) -> bytes:
    digest = sha256()
    for body in bodies:
        digest.update(b"%d:%b" % (len(body), body))
    return digest.digest()


class Answers:
    """The ids that were given out for a key, oldest first. Times are seconds of the caller's clock.

    >>> answers = Answers()
    >>> answers.keep("key", [b"{}"], ["1-0"], now=0.0, limit=1000)
    >>> answers.find("key", [b"{}"], after=-300.0)
    ['1-0']
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, bytes, list[str]]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def find(self, key: str, bodies: Sequence[bytes], after: float) -> list[str] | None:
        """The ids of `bodies`, if they were published under `key` after that time; 422 if it was
        something else.
        """
        while self._known:
            oldest = next(iter(self._known))
            if self._known[oldest][0] > after:
                break
            del self._known[oldest]
        if key not in self._known:
            return None
        _, digest, ids = self._known[key]
        if digest != _digest(bodies):
            raise HTTPError(422, "something else was published under this idempotency key")
        return list(ids)

    def keep(
        self, key: str, bodies: Sequence[bytes], ids: Sequence[str], now: float, limit: int
    ) -> None:
        """`bodies` are published under `key`; up to `limit` keys are kept."""
        while self._known and len(self._known) >= limit:
            del self._known[next(iter(self._known))]
        if limit > 0:
            self._known[key] = (now, _digest(bodies), list(ids))

    def clear(self) -> None:
        """Forget all keys."""
        self._known.clear()
