"""Fixtures with an application that has a `SubscribeHandler`, and clients for all transports."""

import pytest
from support.engines import REAL, engine  # noqa: F401
from support.subscriber import CLIENTS, STREAMS
from support.wire import raw_small, small_buffers  # noqa: F401

from tatsumaki_py import Application, MessageQueue, PublishHandler, SubscribeHandler

# Several streams read the log in the same way: two of them are enough for the real engines.
WITH_REAL_ENGINES = ["sse", "websocket", "long-poll"]


def pytest_generate_tests(metafunc):
    """Run tests over each transport, and the tests of the contract with each engine, too."""
    engines = None
    if metafunc.module.__name__.endswith("test_contract") and "queue" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("engines")
        engines = ("memory", *REAL) if mark is None else mark.args
    kinds = {"transport": CLIENTS, "stream": STREAMS}
    said = str([mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")])
    names = [name for name in kinds if name in metafunc.fixturenames and name not in said]
    if not names:
        if engines:
            metafunc.parametrize("engine", engines, indirect=True)
    elif engines:
        pairs = [
            (engine, kind)
            for engine in engines
            for kind in kinds[names[0]]
            if engine == "memory" or kind in WITH_REAL_ENGINES
        ]
        metafunc.parametrize(f"engine, {names[0]}", pairs, indirect=True)
    else:
        metafunc.parametrize(names[0], kinds[names[0]], indirect=True)


@pytest.fixture
def handler():
    """The class of the handler; a test may set attributes of the class."""
    return type("Events", (SubscribeHandler,), {})


@pytest.fixture
def app(handler):
    return Application(
        [
            (r"/events/([\w.-]+)", handler),
            (r"/events", handler),
            (r"/publish/([\w.-]+)", PublishHandler),
        ]
    )


@pytest.fixture
def queue(engine, request):  # noqa: F811
    """The loaded queue of the channel "room"."""
    queue = MessageQueue.instance("room")
    if engine != "memory":
        request.getfixturevalue("io_loop").run_sync(queue.ready)
    return queue


@pytest.fixture
def transport(request):
    """The name of each transport in turn."""
    return request.param


@pytest.fixture
def stream(request):
    """The name of each streaming transport in turn."""
    return request.param


@pytest.fixture
def subscriber(http_server, http_port):
    """`client = subscriber("sse", cursor=..., ...)` returns a client, not open yet; see
    `Subscriber`.
    """
    made = []

    def subscriber(transport, **options):
        made.append(CLIENTS[transport](http_port, **options))
        return made[-1]

    yield subscriber
    for client in made:
        client.close()
