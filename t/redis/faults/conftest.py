"""Fixtures with an application that uses Redis, and its environment. Each file tests an incident of
another project, and checks what each client and publisher sees.
"""

import re

import pytest
from support.scene import Scene

from tatsumaki_py import Application, HealthHandler, PublishHandler, SubscribeHandler


@pytest.fixture
def app():
    return Application(
        [
            (r"/events/([\w.-]+)", SubscribeHandler),
            ("/events", SubscribeHandler),
            (r"/publish/([\w.-]+)", PublishHandler),
            ("/health", HealthHandler),
        ]
    )


@pytest.fixture
def make_scene(http_server, http_port, io_loop, make_redis):
    """`scene = await make_scene(server, *transports, **options)` makes a `Scene`, which ends before
    the servers of `make_redis`.
    """
    scenes = []

    async def make(server, *transports, **options):
        scenes.append(Scene(http_port, server))
        return await scenes[-1].start(*transports, **options)

    yield make
    for scene in scenes:
        io_loop.run_sync(scene.stop)


@pytest.fixture
def outage(log_watch, caplog):
    """`outage()` lists "away" and "back" for the log lines so far, which are expected."""
    caplog.set_level("WARNING", "tatsumaki")

    def said():
        texts = [record.getMessage() for record in caplog.records if record.name == "tatsumaki"]
        return [found[1] for text in texts if (found := re.search(r" is (away|back)", text))]

    with log_watch.expect("tatsumaki", r"Redis at \S+ is (away|back)"):
        yield said
