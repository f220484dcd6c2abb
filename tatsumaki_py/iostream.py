"""Tornado's connections without a reference cycle.

A `tornado.iostream.IOStream` keeps the error that closed it. The error has a traceback, whose
frames refer to the `IOStream` and to what was busy with it, such as a handler. Only the garbage
collector would free them.

Rule: the error of a `ForgettingStream` has no traceback, and no other error behind it.
"""

from __future__ import annotations

from typing import Any

from tornado.iostream import IOStream, SSLIOStream

__all__ = ["ForgettingStream", "adopt"]


class ForgettingStream(IOStream):
    """A plain connection."""

    def close(self, exc_info: Any = False) -> None:
        """See `tornado.iostream.BaseIOStream.close`."""
        super().close(exc_info)
        _forget(self)


class _TLS(ForgettingStream, SSLIOStream):
    pass


_ADOPTED: dict[type, type[IOStream]] = {IOStream: ForgettingStream, SSLIOStream: _TLS}


def adopt(iostream: IOStream | None) -> None:
    """Make `iostream` a `ForgettingStream`, if its class is one of Tornado's."""
    adopted = _ADOPTED.get(type(iostream))
    if adopted is not None and iostream is not None:
        # In place, because Tornado goes on with this object.
        iostream.__class__ = adopted
        _forget(iostream)


def _forget(iostream: IOStream) -> None:
    error = iostream.error
    if error is not None:
        # An error that was being handled then, such as a malformed request, has a traceback, too.
        error.__traceback__ = error.__context__ = error.__cause__ = None
