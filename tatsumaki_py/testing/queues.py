"""Fresh queues: no channel, setting or engine of an earlier test remains."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from tatsumaki_py.message_queue import Engine, MessageQueue

__all__ = ["FreshQueues"]


class FreshQueues:
    """Queues for one test. Use it with ``with`` around the test, or call `begin` and `end`.

    >>> with FreshQueues():
    ...     MessageQueue.backlog_length = 5
    ...     _ = MessageQueue.instance("news").publish("hello")
    >>> MessageQueue.channels()
    []
    >>> MessageQueue.backlog_length
    30

    At the end, all channels are dropped with their events, clients and timers, and the settings of
    `MessageQueue` and its subclasses are restored.

    Args:
        engine: a URL or an engine for the test, as in `MessageQueue.configure`. It must be closed
            in the loop in which it was used: use ``async with``.
        options: as in `MessageQueue.configure`.
    """

    def __init__(self, engine: Engine | str | None = None, **options: Any) -> None:
        self._engine, self._options = engine, options
        self._settings: dict[type, dict[str, Any]] = {}

    def begin(self) -> None:
        """Drop all channels, and store the settings."""
        _forget()
        self._settings = {kind: _settings(kind) for kind in _kinds(MessageQueue)}
        if self._engine is not None:
            MessageQueue.configure(self._engine, **self._options)

    def end(self) -> None:
        """Drop all channels, and restore the settings. The engine is not closed."""
        _forget()
        for kind, before in self._settings.items():
            now = _settings(kind)
            for name in now.keys() - before.keys():
                delattr(kind, name)
            for name, value in before.items():
                if name not in now or now[name] is not value:
                    setattr(kind, name, value)
        self._settings = {}

    def __enter__(self) -> Self:
        if self._engine is not None:
            raise RuntimeError("an engine has to be closed: use `async with FreshQueues(engine)`")
        self.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    async def __aenter__(self) -> Self:
        self.begin()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # None if no channel was used.
        engine = MessageQueue._registry._engine
        self.end()
        if engine is not None:
            # Ended polls still notify it.
            await asyncio.sleep(0)
            await engine.close()


def _forget() -> None:
    MessageQueue.reset()
    # A traceback may still hold it, so the next test gets another one.
    MessageQueue._registry.instances.clear()
    MessageQueue._registry.merged.clear()


def _kinds(kind: type[Any]) -> Iterator[type[Any]]:
    yield kind
    for subclass in kind.__subclasses__():
        yield from _kinds(subclass)


def _settings(kind: type) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(kind).items()
        if not name.startswith("_") and not callable(value) and not hasattr(value, "__get__")
    }
