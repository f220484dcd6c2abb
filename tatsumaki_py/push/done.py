"""What a write returns when there is nothing to wait for."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from tatsumaki_py.error import ClientDisconnect

__all__ = ["DONE", "OVER", "Done"]


class Done:
    """An awaitable that is done."""

    def done(self) -> bool:
        return True

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield


DONE = Done()


class _Over(Done):
    """What a write after the end of the answer returns. A coroutine that awaits it ends by
    `ClientDisconnect`; a callback that does not goes on.
    """

    def __await__(self) -> Generator[Any, None, None]:
        raise ClientDisconnect
        yield


OVER = _Over()
