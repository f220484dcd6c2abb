"""What every test has: the fixtures of `t/support`, and no channel left from the test before."""

import os

import pytest
from hypothesis import settings

pytest_plugins = [
    "support.log",
    "support.clock",
    "support.raw",
    "support.servers",
    "support.answers",
    "support.program",
    "support.browser",
    "support.other_process",
    "support.redis_server",
    "support.redis_sentinel",
    "support.redis_tls",
    "support.redis_cluster",
    "support.wheel",
]

# How long an example takes says nothing on a shared machine.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")
# As --async-test-timeout: also for clients, and for the test cases of Tornado.
os.environ.setdefault("ASYNC_TEST_TIMEOUT", "30")


def pytest_configure(config):
    config.addinivalue_line("markers", "engines(*names): the engines of which the test is true")


@pytest.fixture(autouse=True)
def forget_channels(tatsumaki_queues):
    """Takes every channel away after the test, with its clients and timers."""
