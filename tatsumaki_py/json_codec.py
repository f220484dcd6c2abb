"""The JSON encoder of the package, and the protocol of encoders that programs may use instead."""

from __future__ import annotations

import json
from typing import Any, Protocol, Self

__all__ = ["JSON", "Constant", "JSONCodec"]


class JSONCodec(Protocol):
    """An encoder, for `Handler.json` and `MessageQueue.json`."""

    def encode(self, o: Any, /) -> str:
        """`o` as JSON."""


class Constant:
    """A true, false or null to which a subclass can add attributes, since Python does not allow
    subclasses of `bool` and `NoneType`. It equals its `data` and has the same truth value.

    >>> Constant(None) == None, bool(Constant(False)), [Constant(True)] == [True]
    (True, False, True)
    """

    __slots__ = ("data",)

    data: bool | None

    def __new__(cls, data: bool | Constant | None) -> Self:
        self = object.__new__(cls)
        self.data = data.data if isinstance(data, Constant) else data
        return self

    def __eq__(self, other: object) -> bool:
        return self.data == (other.data if isinstance(other, Constant) else other)

    def __hash__(self) -> int:
        return hash(self.data)

    def __bool__(self) -> bool:
        return bool(self.data)

    def __repr__(self) -> str:
        return repr(self.data)

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickling or copying gives the plain value.
        return (type(None), ()) if self.data is None else (bool, (self.data,))


class _Encoder(json.JSONEncoder):
    def default(self, o: Any) -> Any:
        return o.data if isinstance(o, Constant) else super().default(o)


JSON: JSONCodec = _Encoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
"""Encodes compactly, without escaping non-ASCII text, and refuses NaN, which is not JSON."""
