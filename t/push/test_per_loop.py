"""Each event loop has its own `Flusher`, `HangUps` and `Wheel`."""

import asyncio
import gc
import socket
import weakref

import pytest

from tatsumaki_py.push.flusher import Flusher
from tatsumaki_py.push.hangup import HangUps
from tatsumaki_py.push.per_loop import per_loop
from tatsumaki_py.push.wheel import Wheel


@pytest.mark.gen_test
@pytest.mark.parametrize("cls", [Flusher, HangUps, Wheel])
async def test_one(cls):
    """`current` returns the same object within a loop, and another object in another loop."""
    here = cls.current()
    assert cls.current() is here is per_loop(cls)

    async def elsewhere():
        return cls.current() is here

    assert not await asyncio.to_thread(asyncio.run, elsewhere())


def test_it_keeps_no_loop():
    """A loop that ends while a client is watched is freed, although the callback refers to the
    loop.
    """
    loops = []

    async def main():
        loop = asyncio.get_running_loop()
        loops.append(weakref.ref(loop))
        watched, other = socket.socketpair()
        HangUps.current().watch(watched.fileno(), lambda: loop)
        watched.close()
        other.close()

    asyncio.run(main())
    gc.collect()
    assert loops[0]() is None
