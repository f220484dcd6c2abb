"""Tools for tests of push handlers, for any test framework on asyncio.

>>> from tatsumaki_py.testing import FreshQueues, Subscriber

A test begins with `FreshQueues`, subscribes with a `Subscriber`, advances the loop's clock with a
`Clock`, and puts a `Proxy` between client and server to break connections. pytest is not needed;
``tatsumaki_py.testing.pytest_plugin`` has fixtures for it. ``docs/guide/testing.md`` is the guide.

A module is imported when one of its names is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tatsumaki_py.testing.attempt import Attempt
    from tatsumaki_py.testing.clock import Clock
    from tatsumaki_py.testing.connection import Connection
    from tatsumaki_py.testing.message import BadAnswer, Ended, Message, Refused
    from tatsumaki_py.testing.proxy import Proxy
    from tatsumaki_py.testing.queues import FreshQueues
    from tatsumaki_py.testing.redis_server import RedisServer
    from tatsumaki_py.testing.reply import Reply
    from tatsumaki_py.testing.subscriber import Subscriber
    from tatsumaki_py.testing.waiting import until

__all__ = [
    "Attempt",
    "BadAnswer",
    "Clock",
    "Connection",
    "Ended",
    "FreshQueues",
    "Message",
    "Proxy",
    "RedisServer",
    "Refused",
    "Reply",
    "Subscriber",
    "until",
]

_MODULES = {
    "Attempt": "attempt",
    "BadAnswer": "message",
    "Clock": "clock",
    "Connection": "connection",
    "Ended": "message",
    "FreshQueues": "queues",
    "Message": "message",
    "Proxy": "proxy",
    "RedisServer": "redis_server",
    "Refused": "message",
    "Reply": "reply",
    "Subscriber": "subscriber",
    "until": "waiting",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
