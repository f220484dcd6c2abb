"""Services of an application."""

import asyncio

import pytest

from tatsumaki_py import Application, Handler, Service


class Clock(Service):
    started = 0

    def start(self):
        self.started += 1
        assert self.application.service("Clock") is not None


class Ask(Handler):
    def get(self):
        self.write(list(self.application.services))


@pytest.fixture
def app():
    app = Application([("/", Ask)])
    app.add_service(Clock())
    app.add_service("named", Service())
    return app


@pytest.mark.gen_test
async def test_in_a_handler(app, fetch):
    """A handler gets the services by their names, in the order in which they were added."""
    await app.start()
    assert (await fetch("/")).body == b'["Clock","named"]'


def test_names(app):
    """Several services can have one class; a new service replaces one with the same name."""
    clocks = [app.add_service(Clock()) for _ in range(2)]
    assert [app.service("Clock0"), app.service("Clock1")] == clocks
    named = app.add_service("named", Clock())
    assert app.service("named") is named
    assert list(app.services) == ["Clock", "named", "Clock0", "Clock1"]


async def started(app):
    await app.start()
    await app.stop()


def test_started_once(app):
    """A service is started once with its application, and has it as `application`."""
    clock = app.service("Clock")
    assert clock.started == 0
    asyncio.run(started(app))
    assert clock.started == 1
    assert clock.application is app


def test_unknown(app):
    """`service` returns None for an unknown name, and `services` is read-only."""
    assert app.service("nobody") is None
    with pytest.raises(TypeError):
        app.services["x"] = Clock()


def test_mistakes(app):
    """`add_service` raises an error for wrong arguments, such as a class."""
    for arguments in ((), ("a", "b", Clock())):
        with pytest.raises((TypeError, ValueError)):
            app.add_service(*arguments)
    for no_service in ("db", Clock):
        with pytest.raises(TypeError, match="takes an instance of a Service class, not"):
            app.add_service(no_service)
