"""What callbacks of users return and raise.

Rule: a callback that raises hurts nobody but itself.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from contextvars import Context
from typing import Any

from tatsumaki_py.error import ClientDisconnect
from tatsumaki_py.message_queue.mailbox import Poll

__all__ = ["RAISED", "failure", "is_awaited", "start"]

# Its caller is not cancelled with it.
RAISED = (Exception, asyncio.CancelledError)


def is_awaited(result: Any) -> bool:
    """Whether a callback is to be waited for. ``return mq.poll_once(...)`` does not ask for it, and
    what `Handler.stream_write` returns is done already if the client keeps up.
    """
    if not inspect.isawaitable(result) or isinstance(result, Poll):
        return False
    done = getattr(result, "done", None)
    if done is None or not done():
        return True
    return isinstance(result, asyncio.Future) and failure(result) is not None


def failure(future: asyncio.Future[Any]) -> BaseException | None:
    """Why a callback's future failed, if it did. If it was cancelled, nobody has its events."""
    return ClientDisconnect() if future.cancelled() else future.exception()


def start(
    call: Callable[[], Any], context: Context, failed: Callable[[BaseException], None]
) -> None:
    """Call what nobody waits for. An awaitable that it returns is run in `context`; `failed` is
    called with what is raised, now or then.
    """

    def done(future: asyncio.Future[Any]) -> None:
        error = failure(future)
        if error is not None:
            failed(error)

    try:
        result = call()
        if is_awaited(result):
            context.run(asyncio.ensure_future, result).add_done_callback(done)
    except RAISED as error:
        failed(error)
