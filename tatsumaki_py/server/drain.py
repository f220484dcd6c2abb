"""The end of a server, in order."""

from __future__ import annotations

import asyncio
import contextlib

from tornado.httpserver import HTTPServer

from tatsumaki_py.health import Health
from tatsumaki_py.life import Life
from tatsumaki_py.message_queue import MessageQueue

__all__ = ["drain"]

GRACE = 1.0
"""Seconds that the last answers get to go out."""


async def drain(server: HTTPServer, life: Life) -> None:
    """End all connections of `server`, then `life`."""
    Health.current().draining = True
    server.stop()
    for queue in MessageQueue.channels():
        queue.disconnect()
    # A client that keeps its connection open does not delay the end.
    await asyncio.sleep(0.05)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(server.close_all_connections(), GRACE)
    await life.stop()
