"""The log: `Handler.log`, and lines that no client can forge.

Rules:
1. Control characters in text from a client are escaped, whichever code logs it. An `Application`
   does this for Tornado's loggers, and `Server.run` for the whole process.
2. The logs of the package and of Tornado show no tickets or client ids.

Source: ``Tatsumaki::Handler::log``.
"""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Mapping, MutableMapping
from typing import Any, overload

from tornado.log import access_log, app_log, gen_log
from tornado.web import RequestHandler

from tatsumaki_py.control_characters import escape_controls
from tatsumaki_py.error import ServerStopping
from tatsumaki_py.private_query import without_secrets

__all__ = [
    "LineFormatter",
    "Log",
    "LogAttribute",
    "guard",
    "log_answer",
    "log_to_stderr",
    "log_worker",
    "logged",
]

_logger = logging.getLogger("tatsumaki")


def logged(text: str) -> str:
    """`text` from a client, such as a URL, made safe for a log."""
    return escape_controls(without_secrets(text))


def log_answer(handler: RequestHandler) -> None:
    """Log one line in the access log, if the level of the answer is enabled."""
    status = handler.get_status()
    level = logging.INFO if status < 400 else logging.WARNING if status < 500 else logging.ERROR
    if access_log.isEnabledFor(level):
        summary = logged(handler._request_summary())
        milliseconds = 1000.0 * handler.request.request_time()
        access_log.log(level, "%d %s %.2fms", status, summary, milliseconds)


class Log(logging.LoggerAdapter[Any]):
    """A logger that can be called. It also has everything that a `logging.Logger` has."""

    def __call__(self, message: object, *args: object) -> None:
        """Log at level INFO: ``self.log("%s joined", name)``. If the message has no ``%``, the
        arguments are appended to it: ``self.log("joined: ", name)``.

        Control characters are escaped. The values of ``ticket`` and ``client_id`` in a URL are left
        out.
        """
        if not self.isEnabledFor(logging.INFO):
            return
        text = str(message)
        if args:
            text = text % args if "%" in text else "".join(map(str, (text, *args)))
        self.info("%s", logged(text), stacklevel=2)

    def __getattr__(self, name: str) -> Any:
        if name == "logger":
            # In a copy that has no attributes yet.
            raise AttributeError(name)
        return getattr(self.logger, name)

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        # Before Python 3.13, the adapter's own method drops an `extra` of the caller.
        return msg, kwargs


class LogAttribute:
    """Makes a `Log` at each access.

    It wraps the `log` of a class further along the MRO if that is a logger, as in Jupyter's
    handlers, and otherwise the logger ``tatsumaki``. ``self.log = ...`` replaces it, because this
    is not a data descriptor.
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
        # Do not store it on the handler: that would cost each handler an attribute.
        return Log(other if isinstance(other, (logging.Logger, logging.LoggerAdapter)) else _logger)


class _Guard(logging.Filter):
    """Escapes control characters in the arguments of a message, and leaves out secrets in URLs,
    even in a traceback. The rest of the record stays as it is, so that tools can still group
    records by their message.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record. Returns True, because every record is logged."""
        if isinstance(record.args, tuple) and record.args:
            record.args = tuple(map(_escaped, record.args))
        elif isinstance(record.args, Mapping) and record.args:
            # For a message with names, such as "%(name)s", Python stores the dict itself.
            record.args = {key: _escaped(value) for key, value in record.args.items()}
        elif not record.args:
            record.msg = _escaped(record.msg)
        if record.exc_info and not record.exc_text:
            text = _formatter.formatException(record.exc_info)
            shown = without_secrets(text)
            if shown != text:
                # Formatters use this text instead of formatting the traceback.
                record.exc_text = shown
        return True


def _escaped(value: object) -> Any:
    if isinstance(value, (str, BaseException)):
        text = str(value)
        escaped = logged(text)
        return value if escaped == text else escaped
    return value


_formatter = logging.Formatter()
_guard = _Guard()
_logger.addFilter(_guard)


def guard() -> None:
    """From now on, escape control characters and leave out secrets in all that Tornado logs."""
    # Plain Tornado handlers also use these loggers.
    for logger in (access_log, app_log, gen_log):
        logger.addFilter(_guard)


class LineFormatter(logging.Formatter):
    """Formats a record as one line, with control characters escaped and secrets in URLs left out.
    The lines of a traceback follow, all indented, because the text of an exception may also have
    several lines.

    A `ServerStopping` is logged without a traceback: timers and tasks may publish until the end.
    """

    def format(self, record: logging.LogRecord) -> str:
        record = copy.copy(record)
        message = record.getMessage()
        if record.exc_info and isinstance(record.exc_info[1], ServerStopping):
            message = f"{message}: {record.exc_info[1]}"
            record.exc_info = record.exc_text = None
        record.msg, record.args = logged(message), None
        line, *more = super().format(record).split("\n")
        return "\n    ".join([line, *map(logged, more)])


FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def log_worker(number: int) -> None:
    """Show this process as worker `number` in each line of `log_to_stderr`."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, LineFormatter):
            handler.setFormatter(LineFormatter(FORMAT.replace(":", f" worker {number}:", 1)))


def log_to_stderr() -> None:
    """Log to stderr, one line for each record, unless logging is already set up. With
    TATSUMAKI_DEBUG in the environment, the logger ``tatsumaki`` has level DEBUG.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter(FORMAT))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    guard()
    # Perl's rule: "" and "0" are false.
    if os.environ.get("TATSUMAKI_DEBUG", "") not in ("", "0"):
        _logger.setLevel(logging.DEBUG)
