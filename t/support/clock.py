"""Time as a fixture: the loop's clock can be advanced, so no test sleeps through a 55 s timeout."""

import asyncio

import pytest


def pytest_sessionstart():
    """Tells asyncio that there is no event loop yet.

    Otherwise, Tornado's `make_current`, which pytest-tornado calls, asks asyncio for the previous
    loop, and asyncio creates one; since Python 3.12, this raises a DeprecationWarning.
    """
    asyncio.set_event_loop(None)


@pytest.fixture
def clock(io_loop, tatsumaki_clock):
    """The `Clock` of the test's loop: `await clock.advance(30)`."""
    return tatsumaki_clock
