"""Parts of an application that fail while it starts or stops, or that do not end."""

import asyncio
import contextlib

import pytest

from tatsumaki_py import Application, Service, life


class Part(Service):
    """Records each call."""

    def __init__(self, name, said):
        self.name, self.said = name, said

    def start(self):
        self.said.append(f"+{self.name}")

    def stop(self):
        self.said.append(f"-{self.name}")


class Later(Part):
    """Awaits a given coroutine function as its start."""

    def __init__(self, name, said, start):
        super().__init__(name, said)
        self.begin = start

    async def start(self):
        await self.begin()
        self.said.append(f"+{self.name}")


@pytest.fixture
def said():
    return []


@pytest.fixture
def app(said):
    app = Application()
    app.add_service(Part("a", said))
    return app


async def fails():
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(0, None))
        group.create_task(fail(OSError("no such host")))
        group.create_task(fail(ValueError()))


async def fail(error):
    raise error


async def cancelled():
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def stubborn():
    """Ignores its cancellations for a while."""
    until = asyncio.get_running_loop().time() + 0.2
    while asyncio.get_running_loop().time() < until:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.2)


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (fails, "OSError: no such host; ValueError"),
        (cancelled, "it was cancelled"),
    ],
)
@pytest.mark.gen_test
async def test_reason(app, said, start, reason):
    """The error for a failed start names the errors of a group, or a cancellation."""
    app.add_service(Later("b", said, start))
    with pytest.raises(life.StartError) as info:
        await app.start()
    assert str(info.value) == f"the service Later did not start: {reason}"
    assert said == ["+a", "-a"]


@pytest.mark.gen_test
async def test_a_start_that_ignores_its_cancellation(app, said, expect_log, monkeypatch):
    """If a start ignores its cancellation, the other parts are stopped anyway."""
    monkeypatch.setattr(life, "STOP_TIME", 0.05)
    app.add_service(Later("b", said, stubborn))
    start = asyncio.create_task(app.start())
    await asyncio.sleep(0.01)
    start.cancel()
    log = expect_log("tatsumaki", "the service Later did not end within 0.05 seconds")
    with log, pytest.raises(asyncio.CancelledError):
        await start
    assert said == ["+a", "-a"]
    await asyncio.sleep(0.2)


@pytest.mark.gen_test
async def test_cancelled_as_a_start_ends(app, said):
    """If the start is cancelled as a part has started, all started parts are stopped."""
    start = asyncio.create_task(app.start())

    async def cancel():
        start.cancel()

    app.add_service(Later("b", said, cancel))
    with pytest.raises(asyncio.CancelledError):
        await start
    assert said == ["+a", "+b", "-b", "-a"]


@pytest.mark.gen_test
async def test_cancelled_as_a_start_fails(app, said):
    """If a start is cancelled while it fails, the other parts are stopped anyway."""
    stopping = asyncio.Event()

    async def stop():
        stopping.set()
        await asyncio.sleep(0.01)

    app.on_stop(stop)
    app.add_service(Later("b", said, fails))
    start = asyncio.create_task(app.start())
    await stopping.wait()
    start.cancel()
    with pytest.raises(life.StartError):
        await start
    assert said == ["+a", "-a"]


@pytest.mark.gen_test
async def test_stop_while_it_starts_or_stops(app, said):
    """A `stop` during the start or the stop raises a RuntimeError, and has no effect."""
    raised = []

    async def stop():
        with pytest.raises(RuntimeError) as info:
            await app.stop()
        raised.append(str(info.value))

    app.on_start(stop)
    app.on_stop(stop)
    app.add_service("b", Part("b", said))
    await app.start()
    await app.stop()
    assert raised == [
        "the application cannot stop: it is starting",
        "the application cannot stop: it is stopping",
    ]
    assert said == ["+a", "+b", "-b", "-a"]


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt()])
@pytest.mark.gen_test
async def test_a_stop_that_exits(app, said, expect_log, error):
    """If a stop raises a SystemExit, that is logged, and the other parts are stopped."""
    app.on_stop(lambda: fail(error))
    await app.start()
    with expect_log("tatsumaki", "lambda> failed to stop"):
        await app.stop()
    assert said == ["+a", "-a"]


@pytest.mark.gen_test
async def test_added_while_it_runs(app, said, expect_log):
    """A service that was added later and did not start is not stopped."""
    await app.start()
    app.add_service(Later("b", said, fails))
    app.add_service(Later("c", said, asyncio.Event().wait))
    with expect_log("tatsumaki", "the service Later failed"):
        await asyncio.sleep(0.01)
    with pytest.raises(TypeError):
        app.add_service(Later("d", said, None).start)
    await app.stop()
    assert said == ["+a", "-a"]


@pytest.mark.gen_test
async def test_replaced_as_it_starts(app, said):
    """If the start of a service replaces the service, both are started and stopped."""

    async def replace():
        app.add_service("x", Part("b", said))

    app.add_service("x", Later("x", said, replace))
    app.add_service("c", Part("c", said))
    await app.start()
    await app.stop()
    assert said == ["+a", "+x", "+c", "+b", "-b", "-c", "-x", "-a"]


@pytest.mark.gen_test
async def test_spawn_and_cancel(app, expect_log):
    """A task that the program cancels is not logged as a failure.

    A task that ends because its awaited future was cancelled is logged.
    """
    app.spawn(asyncio.sleep(9)).cancel()
    with expect_log("tatsumaki", "cancelled failed: what it awaited was cancelled"):
        app.spawn(cancelled())
        await asyncio.sleep(0.01)


@pytest.mark.gen_test
async def test_spawn_in_another_loop(app):
    """`spawn` raises a RuntimeError in the event loop of another thread."""
    await app.start()

    async def elsewhere():
        app.spawn(asyncio.sleep(0))

    with pytest.raises(RuntimeError, match="outside of the event loop's thread"):
        await asyncio.to_thread(asyncio.run, elsewhere())
    await app.stop()
