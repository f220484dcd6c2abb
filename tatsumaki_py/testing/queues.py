"""Fresh queues: no event, client, setting or engine of an earlier test remains.

Rule: a queue that was made before `begin` belongs to the program, which may hold it in a module.
`begin` and `end` initialize the same object again, without events. A queue that was made after
`begin` belongs to the test; `end` drops it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self
from weakref import ref

from tatsumaki_py.message_queue import Engine, MergedQueue, MessageQueue
from tatsumaki_py.message_queue.own_settings import OwnSettings

__all__ = ["FreshQueues"]


class FreshQueues:
    """Queues for one test. Put the test in a ``with`` block, or call `begin` and `end`.

    >>> with FreshQueues():
    ...     MessageQueue.backlog_length = 5
    ...     _ = MessageQueue.instance("news").publish("hello")
    >>> MessageQueue.channels()
    []
    >>> MessageQueue.backlog_length
    30

    At the end, all channels are dropped with their events, clients and timers, and the settings of
    `MessageQueue`, of its subclasses and of each channel are restored. A queue that the program
    made earlier, such as ``NEWS = MessageQueue.instance("news")`` in a module, is still the queue
    of its channel, in the test and after it.

    Args:
        engine: a URL or an engine for the test, as in `MessageQueue.configure`. The engine must be
            closed in the loop in which it was used: use ``async with``.
        options: as in `MessageQueue.configure`.
    """

    def __init__(self, engine: Engine | str | None = None, **options: Any) -> None:
        self._engine, self._options = engine, options
        self._settings: dict[type, dict[str, Any]] = {}
        self._own = OwnSettings()
        self._made: list[ref[MessageQueue]] = []
        self._merged: list[ref[MergedQueue]] = []

    def begin(self) -> None:
        """Drop all events and clients, and store the settings."""
        registry = MessageQueue._registry
        self._own = registry.own.copy()
        self._settings = {kind: _settings(kind) for kind in _kinds(MessageQueue)}
        self._made = [ref(queue) for queue in registry.instances.values()]
        self._merged = [ref(queue) for queue in registry.merged.values()]
        made = self._forget()
        if self._engine is not None:
            MessageQueue.configure(self._engine, **self._options)
        _renew(*made)

    def end(self) -> None:
        """Drop all events and clients, and restore the settings. The engine is not closed."""
        made = self._forget()
        for kind, before in self._settings.items():
            now = _settings(kind)
            for name in now.keys() - before.keys():
                delattr(kind, name)
            for name, value in before.items():
                if name not in now or now[name] is not value:
                    setattr(kind, name, value)
        self._settings = {}
        _renew(*made)

    def _forget(self) -> tuple[list[MessageQueue], list[MergedQueue]]:
        """Drop all channels. Returns the queues that the program still holds."""
        registry = MessageQueue._registry
        made = [queue for made in self._made if (queue := made()) is not None]
        merged = [several for held in self._merged if (several := held()) is not None]
        MessageQueue.reset()
        # A traceback may still hold a queue of the test, so give the next test another one.
        registry.instances.clear()
        registry.merged.clear()
        registry.own = self._own.copy()
        return made, merged

    def __enter__(self) -> Self:
        if self._engine is not None:
            raise RuntimeError("an engine must be closed: use `async with FreshQueues(engine)`")
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
        # The engine is None if no channel was used.
        engine = MessageQueue._registry._engine
        self.end()
        if engine is not None:
            # Polls that have just ended still notify the engine.
            await asyncio.sleep(0)
            await engine.close()


def _renew(made: Sequence[MessageQueue], merged: Sequence[MergedQueue]) -> None:
    """Initialize the same objects again, as queues of the current engine."""
    registry = MessageQueue._registry
    for queue in made:
        channel = queue.channel
        new = MessageQueue.instance(channel)
        _become(queue, new)
        registry.instances[channel] = queue
    for several in merged:
        names = several.channel
        _become(several, MessageQueue._merge(names))
        registry.merged[names] = several


def _become(queue: object, new: object) -> None:
    vars(queue).clear()
    vars(queue).update(vars(new))


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
