"""Finds channels whose last message was lost, and renews the expiry of channels' keys in Redis.

Rule: an idle channel costs one key of an MGET every `check_interval`, and a renewal of its keys
    when half of their time to live has passed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from tatsumaki_py.message_queue.engine.redis.channel import RedisChannel
from tatsumaki_py.message_queue.engine.redis.connect import Connections
from tatsumaki_py.message_queue.engine.redis.options import RedisOptions
from tatsumaki_py.message_queue.engine.redis.questions import Questions
from tatsumaki_py.message_queue.engine.redis.wire import USE

__all__ = ["Positions"]

PIECE = 500
"""Maximum number of channels in one command."""

_log = logging.getLogger("tatsumaki")


class Positions:
    """Compares the newest events here with those in Redis.

    Args:
        channels: the fed channels.
        ask: asks Redis for the events of a channel.
    """

    def __init__(
        self,
        connections: Connections,
        questions: Questions,
        options: RedisOptions,
        channels: Mapping[str, RedisChannel],
        ask: Callable[[RedisChannel], None],
    ) -> None:
        self._connections = connections
        self._questions = questions
        self._interval = options.check_interval
        self._top_time = int(1000 * options.top_time)
        self._channels = channels
        self._ask = ask
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self._check()
            except Exception:
                _log.exception("the newest events could not be compared with Redis")

    async def _check(self) -> None:
        channels = [one for one in self._channels.values() if one.loaded]
        for start in range(0, len(channels), PIECE):
            piece = channels[start : start + PIECE]
            tops = await self._connections.values([one.keys.top for one in piece])
            if all(isinstance(top, Exception) for top in tops):
                # Redis is away: wait for the next check.
                return
            for channel, top in zip(piece, tops, strict=True):
                if self._channels.get(channel.feed.name) is not channel:
                    continue
                if isinstance(top, bytes) and top.split(b" ", 1)[0] == channel.feed.top.encode():
                    self._keep(channel)
                elif not isinstance(top, Exception) and not channel.asking:
                    self._ask(channel)

    def _keep(self, channel: RedisChannel) -> None:
        """Renew the expiry of a channel's keys while clients listen to it."""
        settings = channel.feed.settings
        seconds = settings.idle_timeout + USE
        if settings.time_to_live is not None:
            seconds = min(seconds, settings.time_to_live)
        time = asyncio.get_running_loop().time()
        if seconds < float("inf") and time - channel.used > seconds / 2 - self._interval:
            channel.used = time
            for key in (channel.keys.stream, channel.keys.last, channel.keys.ids):
                self._questions.command("PEXPIRE", key, int(1000 * seconds) or 1)
            self._questions.command("PEXPIRE", channel.keys.top, self._top_time)

    async def close(self) -> None:
        """Stop comparing."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
