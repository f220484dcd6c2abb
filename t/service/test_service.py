"""What a service has of its own; `add_service` is the application's."""

import asyncio
import gc

import pytest

from tatsumaki_py import Application, Service


class Bare(Service):
    def __init__(self):
        """Calls no `super().__init__`."""


class Curious(Service):
    def start(self):
        self.seen = self.application


def test_start_is_optional():
    """A service without `start` can be added (in the original that dies)."""
    application = Application()
    assert application.add_service(Bare()).application is application


def test_start_sees_the_application():
    """`start` runs when the application is known."""
    application = Application()
    curious = application.add_service(Curious())
    asyncio.run(application.start())
    assert curious.seen is application


@pytest.mark.parametrize("added", [False, True])
def test_no_application(added):
    """Added to none, or to one that is gone (it does not keep it alive), it says what to do."""
    service = Bare()
    if added:
        Application().add_service(service)
        gc.collect()
    with pytest.raises(RuntimeError, match=r"application\.add_service\(Bare\(\)\)"):
        _ = service.application
