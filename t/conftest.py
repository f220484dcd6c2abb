"""What every test has: the fixtures of `t/support`, and no channel left from the test before."""

import pytest
from hypothesis import settings

from tatsumaki_py import MessageQueue

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
]

# How long an example takes says nothing on a shared machine.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


def pytest_configure(config):
    config.addinivalue_line("markers", "engines(*names): the engines of which the test is true")


@pytest.fixture(autouse=True)
def forget_channels():
    """Takes every channel away after the test, with its clients and timers."""
    yield
    MessageQueue.reset()
    # Somebody may still hold one, such as a traceback: the next test gets another.
    MessageQueue._registry.instances.clear()
    MessageQueue._registry.merged.clear()
