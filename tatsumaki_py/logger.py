"""`Handler.log`: a method, as in Tatsumaki, and a logger, as in most Tornado programs.

Source: ``Tatsumaki::Handler::log``.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any, overload

from tatsumaki_py.escape import escape

__all__ = ["Log", "LogAttribute"]

_logger = logging.getLogger("tatsumaki")


class Log(logging.LoggerAdapter[Any]):
    """A logger that can be called. All that a `logging.Logger` has is here, too."""

    def __call__(self, message: object, *args: object) -> None:
        """Log at level INFO: ``self.log("%s joined", name)``. Without a ``%`` in the message the
        arguments are appended to it: ``self.log("joined: ", name)``.

        Control characters are escaped.
        """
        if not self.isEnabledFor(logging.INFO):
            return
        text = str(message)
        if args:
            text = text % args if "%" in text else "".join(map(str, (text, *args)))
        self.info("%s", escape(text), stacklevel=2)

    def __getattr__(self, name: str) -> Any:
        if name == "logger":
            # A copy that is not filled in yet.
            raise AttributeError(name)
        return getattr(self.logger, name)

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        # The adapter's own drops an `extra` of the caller before Python 3.13.
        return msg, kwargs


class LogAttribute:
    """Makes a `Log` at each access.

    It wraps the `log` of a class further along the MRO if that is a logger, as that of Jupyter's
    handlers is, else the logger ``tatsumaki``. ``self.log = ...`` replaces it, since this is not a
    data descriptor.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._owner = owner

    @overload
    def __get__(self, handler: None, owner: type | None = None) -> LogAttribute: ...
    @overload
    def __get__(self, handler: object, owner: type | None = None) -> Log: ...
    def __get__(self, handler: object, owner: type | None = None) -> LogAttribute | Log:
        if handler is None:
            return self
        other = getattr(super(self._owner, handler), "log", None)
        # Kept, it would cost each handler an attribute.
        return Log(other if isinstance(other, (logging.Logger, logging.LoggerAdapter)) else _logger)
