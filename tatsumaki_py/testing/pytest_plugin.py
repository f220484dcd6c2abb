"""Fixtures for pytest, which finds this plugin automatically.

Rules:
1. pytest loads this module for every project in the Python environment, so the module imports only
   pytest. It imports the package when a fixture is used.
2. No fixture is automatic (autouse). All names begin with ``tatsumaki_``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tatsumaki_py import MessageQueue
    from tatsumaki_py.testing import Clock, RedisServer, Subscriber

__all__ = [
    "tatsumaki_clock",
    "tatsumaki_queues",
    "tatsumaki_redis",
    "tatsumaki_subscriber",
]


@pytest.fixture
def tatsumaki_queues() -> Iterator[type[MessageQueue]]:
    """Drops all events and clients before and after the test, and restores the settings that the
    test changes. The value is `MessageQueue`. See `FreshQueues`.
    """
    from tatsumaki_py import MessageQueue
    from tatsumaki_py.testing import FreshQueues

    with FreshQueues():
        yield MessageQueue


@pytest.fixture
def tatsumaki_clock(request: pytest.FixtureRequest) -> Iterator[Clock]:
    """The `Clock` of the test's event loop: ``await tatsumaki_clock.advance(30)`` runs all timers
    of the next 30 seconds. The timeout of pytest-tornado's ``gen_test`` stays in real time.
    """
    from tatsumaki_py.testing import Clock

    with Clock(_tornado_loop(request)) as clock:
        yield clock


@pytest.fixture
def tatsumaki_subscriber(request: pytest.FixtureRequest) -> Iterator[Callable[..., Subscriber]]:
    """``client = tatsumaki_subscriber(url, "sse")`` makes a `Subscriber`, and ``await
    client.start()`` connects it. The subscriber is closed after the test.
    """
    from tatsumaki_py.testing import Subscriber

    made: list[Subscriber] = []

    def subscriber(*args: Any, **options: Any) -> Subscriber:
        made.append(Subscriber(*args, **options))
        return made[-1]

    yield subscriber
    loop = _tornado_loop(request)
    # Close each one, even if closing another one raises the error of its `follow`.
    with ExitStack() as stack:
        for client in made:
            if loop is None:
                stack.callback(client.close)
            else:
                stack.callback(loop.run_sync, client.aclose)


@pytest.fixture
def tatsumaki_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A running, empty `RedisServer` for this test, which may kill and restart it. The test is
    skipped if ``redis-server`` is not installed.
    """
    from tatsumaki_py.testing import RedisServer

    with RedisServer(tmp_path) as server:
        yield server


def _tornado_loop(request: pytest.FixtureRequest) -> Any:
    """The `IOLoop` of a test that pytest-tornado runs; None for other tests."""
    if "io_loop" in request.fixturenames:
        return request.getfixturevalue("io_loop")
    return None
