"""`at_once` runs a coroutine without a task until it waits."""

import asyncio
import functools
from contextvars import ContextVar

import pytest

from tatsumaki_py.at_once import at_once, in_task, may_run_at_once, runs_at_once

var = ContextVar("var", default="none")


@pytest.mark.gen_test
async def test_it_does_not_wait():
    """A coroutine that does not wait has run when `at_once` returns, without a current task and in
    its own context.
    """
    seen = []

    async def work():
        seen.append(asyncio.current_task())
        var.set("its own")

    here = asyncio.current_task()
    done = at_once(work())
    assert seen == [None]
    assert done.done()
    done.add_done_callback(seen.append)
    await done
    assert (asyncio.current_task(), var.get()) == (here, "none")


@pytest.mark.gen_test
async def test_it_waits():
    """After `in_task`, the coroutine runs in a task, with the same context as before."""
    seen = []
    wake = asyncio.get_running_loop().create_future()

    async def work():
        var.set("its own")
        seen.append("begun")
        await in_task()
        async with asyncio.timeout(10):
            seen.append((await wake, var.get()))
        await in_task()
        await asyncio.sleep(0)
        seen.append(asyncio.current_task())

    task = at_once(work())
    assert seen == ["begun"]
    await asyncio.sleep(0)
    wake.set_result("woken")
    await task
    assert seen == ["begun", ("woken", "its own"), task]


@pytest.mark.gen_test
async def test_in_a_task_already():
    """In a task, `in_task` does nothing."""
    turns = []
    asyncio.get_running_loop().call_soon(turns.append, 1)
    await in_task()
    assert turns == []


@pytest.mark.parametrize("how", ["raises", "is cancelled", "suppresses"])
@pytest.mark.gen_test
async def test_errors(how):
    """An exception or a cancellation reaches the coroutine, and its task raises it."""
    seen = []

    async def work():
        await in_task()
        try:
            await asyncio.sleep(0 if how == "raises" else 10)
        except asyncio.CancelledError:
            seen.append("cancelled")
            if how == "suppresses":
                return
            raise
        raise ValueError("no")

    task = at_once(work())
    await asyncio.sleep(0)
    if how == "raises":
        with pytest.raises(ValueError, match="no"):
            await task
        return
    task.cancel()
    if how == "suppresses":
        await task
    else:
        with pytest.raises(asyncio.CancelledError):
            await task
    assert seen == ["cancelled"]


@pytest.mark.gen_test
async def test_it_raises_at_once():
    """`at_once` raises the exception of the coroutine, and restores the current task."""

    async def work():
        raise ValueError("no")

    here = asyncio.current_task()
    with pytest.raises(ValueError, match="no"):
        at_once(work())
    assert asyncio.current_task() is here


@pytest.mark.gen_test
async def test_one_context():
    """A context variable that was set before the coroutine waits can be reset after that."""

    async def work():
        token = var.set("its own")
        await in_task()
        var.reset(token)
        return var.get()

    await at_once(work())
    assert var.get() == "none"


@pytest.mark.gen_test
async def test_eager_tasks():
    """A task may start immediately, in its context, as with `asyncio.eager_task_factory`."""

    def factory(loop, coroutine, context):
        context.run(seen.append, "entered")
        return asyncio.Task(coroutine, loop=loop, context=context)

    async def work():
        await in_task()

    seen = []
    loop = asyncio.get_running_loop()
    loop.set_task_factory(factory)
    try:
        task = at_once(work())
    finally:
        loop.set_task_factory(None)
    await task
    assert seen == ["entered"]


def test_marks():
    """The mark belongs to the method itself, not to a wrapper of it."""

    @runs_at_once
    async def method():
        pass

    @functools.wraps(method)
    async def wrapper():
        pass

    assert may_run_at_once(method)
    assert not any(map(may_run_at_once, (wrapper, None, [])))
