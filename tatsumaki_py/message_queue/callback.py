"""The results and the exceptions of callbacks of users.

Rule: a callback that raises disturbs no other client.
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
    """Whether the result of a callback has to be awaited. A `Poll` (``return mq.poll_once(...)``)
    has not, nor has the awaitable of `Handler.stream_write` if the client keeps up: it is done.
    """
    if not inspect.isawaitable(result) or isinstance(result, Poll):
        return False
    done = getattr(result, "done", None)
    if done is None or not done():
        return True
    return isinstance(result, asyncio.Future) and failure(result) is not None


def failure(future: asyncio.Future[Any]) -> BaseException | None:
    """The error of a callback's future, if it failed. A cancelled one counts as a client that left,
    because no code has its events.
    """
    return ClientDisconnect() if future.cancelled() else future.exception()


def start(
    call: Callable[[], Any], context: Context, failed: Callable[[BaseException], None]
) -> None:
    """Make a `call` whose end no code waits for. An awaitable that it returns is run in `context`.
    `failed` is called with the exception of either.
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
