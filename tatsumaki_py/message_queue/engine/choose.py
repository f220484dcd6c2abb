"""Chooses the engine of the queues by a URL, such as ``memory:``.

Rule: parsing a URL opens nothing, and imports only the chosen engine.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tatsumaki_py.message_queue.engine import Engine, EngineError
from tatsumaki_py.message_queue.engine.memory import MemoryEngine
from tatsumaki_py.message_queue.engine.redis.options import SCHEMES

__all__ = ["VARIABLE", "Choice", "choice_of", "choose", "from_environment", "redacted"]

VARIABLE = "TATSUMAKI_ENGINE"
"""The environment variable with the URL."""


@dataclass(frozen=True)
class Choice:
    """A chosen engine that has not been made yet."""

    url: str
    """Its URL without a password, for logs."""
    shared: bool
    """Whether several processes can share it."""
    make: Callable[[], Engine]
    """Makes the engine. Raises `EngineError` if the engine cannot be used."""


def choose(url: str, options: Mapping[str, Any]) -> Choice:
    """The engine that `url` names. `options` are treated as if they were in its query.

    Raises:
        ValueError: the URL or an option is invalid.
        EngineError: a package that the engine needs is not installed.
    """
    scheme, colon, _ = url.partition(":")
    kind = _KINDS.get(scheme) if colon else None
    if kind is None:
        known = ", ".join(f"{name}:" for name in _KINDS)
        raise ValueError(f"an engine's URL must begin with one of {known}, not {redacted(url)!r}")
    return kind(url, options)


def choice_of(engine: Engine | str, options: Mapping[str, Any]) -> Choice:
    """The choice for the URL of an engine (see `choose`), or for an engine that a program has made.
    Raises `TypeError` for anything else.
    """
    if isinstance(engine, str):
        return choose(engine, options)
    _check_engine(engine)
    if options:
        raise TypeError("options can be given with the URL of an engine, not with an engine")
    # Only its author knows whether several processes can share it.
    shared = bool(getattr(engine, "shared", False))
    return Choice(type(engine).__name__, shared, lambda: engine)


def from_environment() -> Choice:
    """The engine that the environment names, or else the in-memory engine. Raises `EngineError` if
    the URL is invalid.
    """
    url = os.environ.get(VARIABLE) or "memory:"
    try:
        return choose(url, {})
    except ValueError as error:
        raise EngineError(f"{VARIABLE} in the environment: {error}") from None


def redacted(url: str) -> str:
    """`url` without a password, even if it is not a valid URL.

    >>> redacted("redis://user:secret@localhost:6379/0?sentinel_password=secret")
    'redis://user:***@localhost:6379/0?sentinel_password=***'
    """
    # A password may contain an unencoded "/" or "@", so it ends at the last "@". A login without a
    # colon may also be a password.
    url = re.sub(r"//([^/?#@:]*:)?.*@", r"//\1***@", url, flags=re.DOTALL)
    return re.sub(r"(password=)[^&#]*", r"\1***", url)


def _check_engine(engine: object) -> None:
    take = 'MessageQueue.configure takes the URL of an engine, such as "redis://127.0.0.1:6379/0"'
    if engine is None:
        raise TypeError(
            f'{take}, not None: "memory:" is the in-memory engine, and an environment '
            "variable may be unset"
        )
    kind = f"the class {engine.__name__}" if isinstance(engine, type) else type(engine).__name__
    missing = [name for name in _ENGINE if not hasattr(engine, name)]
    # The repr of another value could show a URL with a password.
    if isinstance(engine, type) or len(missing) == len(_ENGINE):
        raise TypeError(f"{take}, or an engine, not {kind}")
    if missing:
        raise TypeError(f"{take}, or an engine, but {kind} has no {', '.join(missing)}")


_ENGINE = [name for name in vars(Engine) if not name.startswith("_")]
"""The names of the protocol's methods and attributes."""


def _memory(url: str, options: Mapping[str, Any]) -> Choice:
    if url != "memory:" or options:
        raise ValueError("memory: takes no path and no options")
    return Choice(url, shared=False, make=MemoryEngine)


def _redis(url: str, options: Mapping[str, Any]) -> Choice:
    try:
        from tatsumaki_py.message_queue.engine.redis.engine import RedisEngine
    except (ImportError, AttributeError) as error:
        missing = _missing(error)
        if missing not in ("redis", "hiredis"):
            raise
        raise EngineError(f"{redacted(url)} {_needs(missing)}") from None
    from tatsumaki_py.message_queue.engine.redis.options import parse

    known = parse(url, options)
    return Choice(redacted(url), shared=True, make=lambda: RedisEngine(known))


def _sqlite(url: str, options: Mapping[str, Any]) -> Choice:
    try:
        from tatsumaki_py.message_queue.engine.sqlite.engine import SQLiteEngine
    except ModuleNotFoundError as error:
        if error.name not in ("sqlite3", "_sqlite3"):
            raise
        raise EngineError(f"{url} needs a Python with the module sqlite3") from None
    from tatsumaki_py.message_queue.engine.sqlite.options import parse

    known = parse(url, options)
    return Choice(url, shared=False, make=lambda: SQLiteEngine(known))


def _missing(error: ImportError | AttributeError) -> str:
    """The top-level module that `error` is about; "" if unknown. The module may exist without
    contents, because Python takes a folder of that name in the current directory for an empty
    package.
    """
    if isinstance(error, AttributeError):
        name = getattr(error.obj, "__name__", "")
    else:
        name = error.name or ""
    return str(name).partition(".")[0]


def _needs(missing: str) -> str:
    module = sys.modules.get("redis")
    path = getattr(module, "__file__", None)
    if path is not None and not hasattr(module, "__version__"):
        return f"needs the package redis, which another file of that name hides: rename {path}"
    return f"needs the package {missing}: pip install 'tatsumaki_py[redis]'"


_KINDS: dict[str, Callable[[str, Mapping[str, Any]], Choice]] = {
    "memory": _memory,
    **dict.fromkeys(SCHEMES, _redis),
    "sqlite": _sqlite,
}
