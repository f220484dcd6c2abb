"""The life of an application: its start, its background work and its stop."""

import asyncio
from contextvars import ContextVar

import pytest

from tatsumaki_py import Application, Handler, Service, life

REQUEST = ContextVar("request", default="none")


class Part(Service):
    def __init__(self, name, said, late=0.0):
        self.name, self.said, self.late = name, said, late

    async def start(self):
        await asyncio.sleep(self.late)
        self.said.append(f"+{self.name} {REQUEST.get()}")

    async def stop(self):
        await asyncio.sleep(self.late)
        self.said.append(f"-{self.name}")


class Broken(Service):
    def start(self):
        raise OSError("no such\nhost")


@pytest.fixture
def app():
    return Application()


@pytest.fixture
def said():
    return []


@pytest.mark.gen_test
async def test_order(app, said):
    """Starts are awaited in the order in which they were added; stops run in reverse order."""
    REQUEST.set("mine")
    app.add_service(Part("a", said, late=0.01))
    app.on_start(lambda: said.append("+hook"))
    app.on_stop(lambda: said.append("-hook"))
    app.add_service(Part("b", said))
    for _ in range(2):
        said.clear()
        await app.start()
        assert said == ["+a none", "+hook", "+b none"]
        await app.stop()
        assert said[3:] == ["-b", "-hook", "-a"]


@pytest.mark.gen_test
async def test_a_start_that_fails(app, said):
    """The error names the failed part and the reason; only the parts that started are stopped."""
    app.add_service(Part("a", said))
    app.add_service(Broken())
    app.on_stop(lambda: said.append("-hook"))
    with pytest.raises(RuntimeError, match="Broken did not start: OSError: no such") as info:
        await app.start()
    assert isinstance(info.value.__cause__, OSError)
    assert said == ["+a none", "-a"]


@pytest.mark.gen_test
async def test_add_while_it_runs(app, said, expect_log):
    """A service or hook that is added later starts immediately, and is stopped in the end."""
    await app.start()
    app.add_service(Part("a", said))
    app.on_start(lambda: said.append("+hook"))
    with pytest.raises(OSError, match="no such"):
        app.add_service(Broken())
    await asyncio.sleep(0.01)
    assert said == ["+hook", "+a none"]
    await app.stop()
    assert said[2:] == ["-a"]


@pytest.mark.gen_test
async def test_a_start_adds_more(app, said):
    """A part that is added by the start of another one starts after all others."""
    app.on_start(lambda: app.add_service(Part("a", said)))
    app.on_start(lambda: said.append("+hook"))
    await app.start()
    assert said == ["+hook", "+a none"]
    await app.stop()


@pytest.mark.gen_test
async def test_replaced(app, said):
    """A service that is replaced before the start is not started."""
    app.add_service("x", Part("a", said))
    app.add_service("x", Part("b", said))
    await app.start()
    await app.stop()
    assert said == ["+b none", "-b"]


@pytest.mark.gen_test
async def test_stops_are_bounded(app, said, expect_log, monkeypatch):
    """A stop that fails or takes too long is logged, and the other parts are stopped."""
    monkeypatch.setattr(life, "STOP_TIME", 0.05)

    async def stubborn():
        while True:
            try:
                await asyncio.sleep(0.2)
                return
            except asyncio.CancelledError:
                pass

    app.add_service(Part("a", said))
    app.on_stop(stubborn)
    app.on_stop(lambda: 1 / 0)
    app.spawn(stubborn())
    await app.start()
    await asyncio.sleep(0)
    with (
        expect_log("tatsumaki", "stubborn did not stop within 0.05 seconds"),
        expect_log("tatsumaki", "stubborn did not end within 0.05 seconds"),
        expect_log("tatsumaki", "lambda> failed to stop"),
    ):
        await app.stop()
    assert said == ["+a none", "-a"]
    await asyncio.sleep(0.25)


@pytest.mark.gen_test
async def test_spawn(app, said, expect_log):
    """A task runs in an empty context, and is cancelled and awaited when the application stops.

    The start does not wait for the task. A task that fails is logged.
    """
    REQUEST.set("mine")

    async def work():
        said.append(REQUEST.get())
        try:
            await asyncio.sleep(9)
        finally:
            await asyncio.sleep(0)
            said.append("cancelled")

    async def fails():
        raise OSError("no such host")

    task = app.spawn(work(), "working")
    assert task.get_name() == "working"
    await app.start()
    with expect_log("tatsumaki", "fails failed"):
        app.spawn(fails())
        await asyncio.sleep(0.01)
    await app.stop()
    assert said == ["none", "cancelled"]
    app.on_start(lambda: app.spawn(work()))
    await app.start()
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="outside of the event loop"):
        await asyncio.to_thread(app.spawn, work())
    await app.stop()
    assert said == ["none", "cancelled"] * 2
    with pytest.raises(TypeError, match=r"app\.spawn takes a coroutine, app\.spawn\(f\(\)\), not"):
        app.spawn(work)


def test_spawned_for_another_loop(app):
    """A task that was spawned for another loop makes the start fail; the error says what to do."""

    async def work():
        pass

    task = app.spawn(work())
    with pytest.raises(RuntimeError, match=r"call app\.spawn in app\.on_start"):
        asyncio.run(app.start())
    task.get_loop().run_until_complete(task)
    task.get_loop().close()
    asyncio.set_event_loop(None)


class Root(Handler):
    def get(self):
        self.write("hello")


@pytest.mark.gen_test
async def test_never_started(app, fetch, expect_log):
    """The log warns once if the services of a program have not been started."""
    app.route("/", Root)
    app.add_service(Service())
    with expect_log("tatsumaki", "the service Service was not started: .* await app.start"):
        assert (await fetch("/")).body == b"hello"
    assert (await fetch("/")).body == b"hello"


@pytest.mark.gen_test
async def test_start_twice(app):
    """Starting a running application raises a RuntimeError."""
    await app.start()
    with pytest.raises(RuntimeError, match="cannot start: it is running"):
        await app.start()
    await app.stop()
