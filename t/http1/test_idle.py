"""One timer for all connections that wait for a request."""

import pytest

from tatsumaki_py.http1.idle import Idle


class Connection:
    def __init__(self, name, closed):
        self.name, self.closed = name, closed

    def close(self):
        self.closed.append(self.name)


@pytest.mark.gen_test
async def test_each_has_its_time(clock):
    closed = []
    idle = Idle(10.0)
    first, second, third, fourth = (Connection(name, closed) for name in "1234")
    idle.add(first)
    idle.add(second)
    await clock.advance(4)
    idle.add(third)
    idle.discard(second)
    await clock.advance(4)
    idle.add(second)
    assert closed == []
    await clock.advance(3)
    assert closed == ["1"]
    await clock.advance(3.5)
    assert closed == ["1", "3"]
    idle.add(fourth)
    idle.discard(fourth)
    await clock.advance(4)
    assert closed == ["1", "3", "2"]
    await clock.advance(100)
    idle.add(fourth)
    idle.clear()
    await clock.advance(100)
    assert closed == ["1", "3", "2"]
