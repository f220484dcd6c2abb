"""The attributes and methods of a service. `add_service` belongs to the application."""

import asyncio
import gc

import pytest

from tatsumaki_py import Application, Service


class Bare(Service):
    def __init__(self):
        """Does not call `super().__init__`."""


class Curious(Service):
    def start(self):
        self.seen = self.application


def test_start_is_optional():
    """A service without `start` can be added. (In the original, this raises an exception.)"""
    application = Application()
    assert application.add_service(Bare()).application is application


def test_start_sees_the_application():
    """`start` can use `self.application`."""
    application = Application()
    curious = application.add_service(Curious())
    asyncio.run(application.start())
    assert curious.seen is application


@pytest.mark.parametrize("added", [False, True])
def test_no_application(added):
    """`application` raises an error that says what to do if the service was not added to one, or
    if the application is gone. A service does not keep its application alive.
    """
    service = Bare()
    if added:
        Application().add_service(service)
        gc.collect()
    with pytest.raises(RuntimeError, match=r"application\.add_service\(Bare\(\)\)"):
        _ = service.application
