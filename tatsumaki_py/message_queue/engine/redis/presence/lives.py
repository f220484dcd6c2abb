"""Which processes are alive, and the clients of ended processes.

Rules:
1. A process sends a heartbeat every `BEAT_INTERVAL` seconds, in one command for all of its clients.
   Without a heartbeat for `LIFE` seconds, it counts as dead.
2. Any process may remove the clients of a dead process when they are no longer expected back. The
   process whose script removes a client calls the hook.
3. A process may remove clients of others only after it has been connected to Redis for `LIFE`
   seconds without interruption: after an outage, the others may not have sent a heartbeat yet.
4. A process that learns that it counted as dead announces its clients again. If other processes
   have called hooks for these clients, it finds the key `swept_of`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from tatsumaki_py.message_queue.engine import Clients
from tatsumaki_py.message_queue.engine.redis.keys import Keys
from tatsumaki_py.message_queue.engine.redis.options import RedisOptions
from tatsumaki_py.message_queue.engine.redis.presence.keys import (
    AllKeys,
    ClientKeys,
    clients_of,
    encoded,
    read_client,
    swept_of,
)
from tatsumaki_py.message_queue.engine.redis.presence.scripts import BEAT, MARK, PLACE, SWEEP
from tatsumaki_py.message_queue.engine.redis.questions import Questions

__all__ = ["KEPT", "Lives"]

BEAT_INTERVAL = 5.0
LIFE = 15.0
KEPT = 30 * 86400 * 1000
"""Milliseconds for which an unchanged key of clients is kept."""
LOOK_AGAIN = 60_000
"""Milliseconds after which a process rechecks clients whose hooks it cannot call."""
FORGET = 3_600_000
"""Milliseconds after which a client is removed without calling its hook."""
SWEPT_KEPT = 86_400_000
"""Milliseconds for which a process can learn that its clients were removed."""
PIECE = 100
"""Number of clients to remove in one turn of the loop."""

_log = logging.getLogger("tatsumaki")


class Lives:
    """Sends the heartbeats of one process, and removes the clients of dead processes.

    Args:
        clients: the clients of this process.
        rejoin: announces the clients of this process again.
        beaten: called when Redis has answered a heartbeat.
    """

    def __init__(
        self,
        options: RedisOptions,
        process: str,
        questions: Questions,
        clients: Clients,
        rejoin: Callable[[], Awaitable[None]],
        beaten: Callable[[], None],
    ) -> None:
        self._prefix = options.prefix
        self._process = process
        self._questions = questions
        self._clients = clients
        self._rejoin = rejoin
        self._beaten = beaten
        self._alive = AllKeys(options.prefix).alive
        self._next_look: dict[bytes, float] = {}
        self._known = False
        self._since: float | None = None
        """The time since which Redis has been reachable without interruption, by the clock of Redis
        in milliseconds.
        """
        self._task: asyncio.Task[None] | None = None
        self._sweeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start, unless already started."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while True:
            try:
                await self._beat()
            except Exception as error:
                # Redis is away, which `outage` logs; or it refuses a command.
                _log.debug("a heartbeat of this process failed: %s", error)
                self._since = None
            await asyncio.sleep(BEAT_INTERVAL)

    async def _beat(self) -> None:
        life = int(1000 * LIFE)
        known, now, ended = await self._say(life)
        own = clients_of(self._prefix, self._process)
        self._questions.command("PEXPIRE", own, KEPT)
        if not known:
            self._since = None
            if self._known:
                await self._rejoin()
        self._known = True
        if self._since is None:
            self._since = now
        self._beaten()
        if now >= self._since + life and (self._sweeper is None or self._sweeper.done()):
            processes = dict(zip(ended[::2], ended[1::2], strict=True))
            self._next_look = {key: at for key, at in self._next_look.items() if key in processes}
            due = {key: at for key, at in processes.items() if now >= self._next_look.get(key, 0)}
            if due:
                # This may take a long time, and the process must send heartbeats meanwhile.
                sweep = self._sweep_all(due, now)
                self._sweeper = asyncio.get_running_loop().create_task(sweep)

    async def _say(self, milliseconds: int) -> Any:
        args = (self._process, milliseconds, KEPT)
        return await self._questions.run(BEAT, (self._alive,), args)

    async def place(self, process: bytes, channels: tuple[str, ...]) -> str:
        """A place that all clients of an unresponsive process had reached: that of the newest event
        a little before the last heartbeat of the process.
        """
        score = await self._questions.command("ZSCORE", self._alive, process)
        until = abs(float(score or 0)) - 1000 * (LIFE + BEAT_INTERVAL)
        keys = [Keys(self._prefix, channel) for channel in channels]
        time = (max(int(until), 0),)
        places = [self._questions.run(PLACE, (one.stream, one.top), time) for one in keys]
        return ",".join([place.decode() for place in await asyncio.gather(*places)])

    # -- the clients of an ended process

    async def _sweep_all(self, processes: dict[bytes, bytes], now: float) -> None:
        try:
            for process, score in processes.items():
                self._next_look[process] = await self._sweep(process, abs(float(score)), now)
        except Exception as error:
            _log.debug("the clients of ended processes could not be removed: %s", error)

    async def _sweep(self, process: bytes, ended: float, now: float) -> float:
        """Remove the clients that have not come back. Returns when to check again."""
        key = clients_of(self._prefix, process.decode())
        cursor, look_again = b"0", float("inf")
        marked = False
        while True:
            cursor, rows = await self._questions.command("HSCAN", key, cursor, "COUNT", PIECE)
            late: list[tuple[bytes, str]] = []
            for field, value in zip(rows[::2], rows[1::2], strict=True):
                seconds, _, hook = value.decode().partition(" ")
                due = ended + float(seconds)
                if now < due:
                    look_again = min(look_again, due)
                elif self._clients.calls(hook) or now > due + FORGET:
                    late.append((field, hook))
                else:
                    look_again = min(look_again, now + LOOK_AGAIN)
            if late and not marked:
                marked = True
                if not await self._mark(process, b"0"):
                    return now
                swept = swept_of(self._prefix, process.decode())
                await self._questions.command("SET", swept, b"", "PX", SWEPT_KEPT)
            await self._forget(key, process, late)
            if cursor == b"0":
                break
        if look_again == float("inf"):
            # The hash is not deleted, because the process may be alive again and have a client.
            await self._mark(process, b"1")
        return look_again

    async def _mark(self, process: bytes, over: bytes) -> bool:
        return bool(await self._questions.run(MARK, (self._alive,), (process, over)))

    async def _forget(self, key: bytes, process: bytes, late: list[tuple[bytes, str]]) -> None:
        if not late:
            return
        clients = [read_client(field) for field, _ in late]
        removed = await asyncio.gather(
            *(
                self._questions.run(
                    SWEEP,
                    (ClientKeys(self._prefix, channels).present,),
                    (encoded(client_id), process),
                )
                for channels, client_id in clients
            ),
            return_exceptions=True,
        )
        done = [not isinstance(reply, BaseException) for reply in removed]
        fields = [field for (field, _), is_done in zip(late, done, strict=True) if is_done]
        if fields:
            self._questions.command("HDEL", key, *fields)
        for (_, hook), (channels, client_id), gone in zip(late, clients, removed, strict=True):
            if gone == 1:
                try:
                    self._clients.gone_elsewhere(channels, client_id, hook)
                except Exception:
                    _log.exception("a hook for a client that has gone could not be called")
        for reply in removed:
            if isinstance(reply, BaseException):
                raise reply

    async def close(self) -> None:
        """This process ends: from now on, its clients are expected in other processes."""
        if self._task is not None:
            tasks = [one for one in (self._task, self._sweeper) if one is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._say(0)
