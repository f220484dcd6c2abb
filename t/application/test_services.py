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
    """Handlers find them by their names, in the order they were added."""
    await app.start()
    assert (await fetch("/")).body == b'["Clock","named"]'


def test_names(app):
    """Of a class there may be several; a name that is given replaces who had it."""
    clocks = [app.add_service(Clock()) for _ in range(2)]
    assert [app.service("Clock0"), app.service("Clock1")] == clocks
    named = app.add_service("named", Clock())
    assert app.service("named") is named
    assert list(app.services) == ["Clock", "named", "Clock0", "Clock1"]


async def started(app):
    await app.start()
    await app.stop()


def test_started_once(app):
    """It is started with the application, once, and knows its application."""
    clock = app.service("Clock")
    assert clock.started == 0
    asyncio.run(started(app))
    assert clock.started == 1
    assert clock.application is app


def test_unknown(app):
    """A name that nobody has is None; the mapping is read-only."""
    assert app.service("nobody") is None
    with pytest.raises(TypeError):
        app.services["x"] = Clock()


def test_mistakes(app):
    """Neither nothing nor two names are a service."""
    for arguments in ((), ("a", "b", Clock())):
        with pytest.raises((TypeError, ValueError)):
            app.add_service(*arguments)
    for no_service in ("db", Clock):
        with pytest.raises(TypeError, match="takes an instance of a Service class, not"):
            app.add_service(no_service)
