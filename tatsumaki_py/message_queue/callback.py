"""The results and exceptions of users' callbacks.

Rule: an exception in a callback does not affect other clients.
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

# A callback that raises `CancelledError` does not cancel its caller.
RAISED = (Exception, asyncio.CancelledError)


def is_awaited(result: Any) -> bool:
    """Whether the result of a callback must be awaited. A `Poll` (``return mq.poll_once(...)``)
    need not be awaited. The awaitable of `Handler.stream_write` need not be awaited if the client
    keeps up, because it is already done.
    """
    if not inspect.isawaitable(result) or isinstance(result, Poll):
        return False
    done = getattr(result, "done", None)
    if done is None or not done():
        return True
    return isinstance(result, asyncio.Future) and failure(result) is not None


def failure(future: asyncio.Future[Any]) -> BaseException | None:
    """The error of a callback's future, if it failed. A cancelled future counts as a client that
    left, because no code has taken the events.
    """
    return ClientDisconnect() if future.cancelled() else future.exception()


def start(
    call: Callable[[], Any], context: Context, failed: Callable[[BaseException], None]
) -> None:
    """Make a `call` that no code waits for. If it returns an awaitable, the awaitable runs in
    `context`. `failed` is called with the exception of either.
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
