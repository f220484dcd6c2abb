"""Time as a fixture: the loop's clock can be moved, so nobody sleeps through a 55 s timeout."""

import asyncio

import pytest


def pytest_sessionstart():
    """Says that there is no loop but the tests' own.

    Otherwise Tornado's `make_current`, which pytest-tornado calls, asks asyncio for the loop
    before, and asyncio makes one up: with a DeprecationWarning from Python 3.12 on.
    """
    asyncio.set_event_loop(None)


@pytest.fixture
def clock(io_loop, tatsumaki_clock):
    """The `Clock` of the test's loop: `await clock.advance(30)`."""
    return tatsumaki_clock
