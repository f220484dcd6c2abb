"""Gives every test the fixtures of `t/support`, and removes its channels after the test."""

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

# No deadline: on a shared machine, an example can take any time.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")
# The same as --async-test-timeout, for clients and for Tornado's test cases.
os.environ.setdefault("ASYNC_TEST_TIMEOUT", "30")


def pytest_configure(config):
    config.addinivalue_line("markers", "engines(*names): the engines on which the test must pass")


@pytest.fixture(autouse=True)
def forget_channels(tatsumaki_queues):
    """Removes every channel after the test, with its clients and timers."""
