"""Another thread can publish: the queues' loop accepts its events, and the thread can wait."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import uvloop
from message_queue.fakes import Taker, numbers, turn

from tatsumaki_py import Application, Error, MessageQueue
from tatsumaki_py.message_queue.thread import MAX_CROSSING


@pytest.fixture
def pool():
    """A pool with a single thread."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def elsewhere(pool):
    """`await elsewhere(function)` runs the function in another thread and returns its result."""

    async def run(function):
        return await asyncio.get_running_loop().run_in_executor(pool, function)

    return run


def claim():
    """Make the running loop the loop of the queues."""
    MessageQueue.instance("any").disconnect()


@pytest.mark.gen_test
async def test_result(queue, elsewhere):
    """The thread gets the ids; listeners get the events as they were when `publish` was called."""
    taker = Taker()
    queue.poll("me", taker)

    def publish():
        event = {"n": 1}
        answer = queue.publish(event, {"n": 2})
        event["n"] = 3
        return answer.result(5)

    ids = await elsewhere(publish)
    assert [event.id for event in queue.backlog_events] == ids
    assert taker.seen == [1, 2]


@pytest.mark.gen_test
async def test_other_methods(queue, elsewhere):
    """`append_backlog` and `publish_json` can also be called in another thread."""
    claim()
    await elsewhere(lambda: queue.append_backlog({"n": 1}).result(5))
    await elsewhere(lambda: queue.publish_json(b'{"n": 2}').result(5))
    assert await elsewhere(lambda: queue.append_backlog().result()) == []
    await queue.ready()
    assert [(event["n"], event.quiet) for event in queue.backlog_events] == [(1, True), (2, False)]


@pytest.mark.engines("memory")  # the loop that waits is not that of the fixtures
@pytest.mark.gen_test
async def test_await_in_another_loop(queue, elsewhere):
    """A coroutine in another loop can await the ids."""
    claim()

    async def publish():
        return await queue.publish({"n": 1})

    assert len(await elsewhere(lambda: asyncio.run(publish()))) == 1


@pytest.mark.gen_test
async def test_bad_event(queue, elsewhere):
    """An invalid event raises an error in the thread, and nothing is published."""
    claim()
    with pytest.raises(TypeError, match="event is of type object"):
        await elsewhere(lambda: queue.publish({"n": 1}, object()))
    with pytest.raises(Error.HTTP, match="exceeds the maximum"):
        await elsewhere(lambda: queue.publish("x" * (queue.max_event_size + 1)))
    assert queue.backlog_events == []


@pytest.mark.gen_test
async def test_refused(queue, elsewhere):
    """The thread that waits for a refused event gets the exception."""
    claim()
    await elsewhere(lambda: queue.publish({"n": 1}, idempotency_key="key").result(5))
    with pytest.raises(Error.HTTP, match="something else"):
        await elsewhere(lambda: queue.publish({"n": 2}, idempotency_key="key").result(5))


@pytest.mark.gen_test
async def test_refused_and_nobody_waits(queue, elsewhere, expect_log):
    """If no code waits for the answer, a refused event is logged."""
    claim()
    await elsewhere(lambda: queue.publish({"n": 1}, idempotency_key="key").result(5))

    def publish():
        queue.publish({"n": 2}, idempotency_key="key")

    with expect_log("tatsumaki", "events that another thread published were lost: something else"):
        await elsewhere(publish)
        await asyncio.sleep(0.05)


@pytest.mark.engines("memory")  # `publish` calls the listeners itself
@pytest.mark.gen_test
async def test_a_listener_fails(queue, elsewhere, expect_log):
    """A callback that raises affects neither the publishing thread nor other listeners."""
    taker = Taker()
    queue.poll("bad", lambda *events: 1 / 0)
    queue.poll("me", taker)
    with expect_log("tatsumaki", "callback of client"):
        assert await elsewhere(lambda: queue.publish({"n": 1}).result(5))
    assert taker.seen == [1]


@pytest.mark.gen_test
async def test_order(make_queue, elsewhere):
    """The events of each thread keep their order if several threads publish."""
    queue = make_queue(backlog_length=2000)
    claim()

    def publish(thread):
        answers = [queue.publish({"n": n, "thread": thread}) for n in range(150)]
        return [answer.result(10) for answer in answers]

    with ThreadPoolExecutor(3) as threads:
        loop = asyncio.get_running_loop()
        await asyncio.gather(*[loop.run_in_executor(threads, publish, n) for n in range(3)])
    await queue.ready()
    for thread in range(3):
        published = [event for event in queue.backlog_events if event["thread"] == thread]
        assert numbers(published) == list(range(150))


@pytest.mark.engines("memory")  # `publish` calls the listeners itself
@pytest.mark.gen_test
async def test_bounded(queue, pool):
    """A thread that is faster than the loop waits for it, so that memory does not grow."""
    claim()
    published = []

    def publish():
        for n in range(2 * MAX_CROSSING):
            queue.publish({"n": n})
            published.append(n)

    done = pool.submit(publish)
    # The loop is blocked.
    while len(published) < MAX_CROSSING and not done.done():
        time.sleep(0.001)
    time.sleep(0.02)
    assert len(published) == MAX_CROSSING
    while not done.done():
        await asyncio.sleep(0.001)
    await turn()
    assert queue.backlog_events[-1] == {"n": 2 * MAX_CROSSING - 1}


@pytest.mark.engines("memory")  # the answer is there immediately
@pytest.mark.gen_test
async def test_timeout(queue, pool):
    """`result` raises TimeoutError after its timeout, and the events are still published."""
    claim()

    def publish():
        with pytest.raises(TimeoutError, match="not accepted within"):
            queue.publish({"n": 1}).result(0.02)

    done = pool.submit(publish)
    done.result(5)  # The loop is blocked.
    await turn()
    assert numbers(queue.backlog_events) == [1]


@pytest.mark.gen_test
async def test_in_the_loop(queue, engine):
    """In the thread of the loop, `result` raises an error unless the answer is already there."""
    answer = queue.publish({"n": 1})
    if engine != "memory":
        with pytest.raises(RuntimeError, match="use await"):
            answer.result()
    ids = await answer
    assert answer.result() == ids


@pytest.mark.gen_test
async def test_the_loop_waits_for_a_thread(queue, pool):
    """In the loop, waiting for another thread's publish with `result` raises an error."""
    claim()
    answer = pool.submit(queue.publish, {"n": 1}).result(5)
    with pytest.raises(RuntimeError, match="use await"):
        answer.result()
    assert len(await answer) == 1
    assert answer.result() == await answer


@pytest.mark.gen_test
async def test_started_by_the_application(queue, pool):
    """A thread that starts with the application can publish before any coroutine uses a queue."""
    app, published = Application(), []

    async def publish():
        answer = pool.submit(queue.publish, {"n": 1}).result(5)
        published.extend(await answer)

    app.on_start(publish)
    await app.start()
    assert len(published) == 1
    await app.stop()


# -- without a loop


@pytest.mark.engines("memory")  # the other engines need a running loop
def test_no_loop(queue, pool):
    """If no loop is running, only the main thread can publish; another thread gets an error."""
    queue.publish({"n": 1})
    for _ in range(2):
        with pytest.raises(
            RuntimeError, match=r"no event loop that owns the queues is running: .* app\.on_start"
        ):
            pool.submit(queue.publish, {"n": 0}).result(5)
        asyncio.run(turn())
        with pytest.raises(RuntimeError, match="no event loop that owns the queues is running"):
            pool.submit(queue.append_backlog, {"n": 0}).result(5)
    queue.publish({"n": 2})
    assert numbers(queue.backlog_events) == [1, 2]


@pytest.fixture(params=[asyncio, uvloop], ids=["asyncio", "uvloop"])
def loop(request):
    """A loop that is not that of the other fixtures."""
    loop = request.param.new_event_loop()
    yield loop
    loop.close()


def ending(loop, publish, calls=1):
    """Run `publish(called)` in a thread during the last iteration of `loop`. The function calls
    `called` after each publish; return the thread after `calls` of these calls.
    """
    called = threading.Semaphore(0)

    def end():
        thread.start()
        for _ in range(calls):
            assert called.acquire(timeout=5)

    thread = threading.Thread(target=publish, args=[called.release])
    loop.call_soon(claim)
    loop.call_soon(loop.stop)
    # After stop(), uvloop makes one more iteration.
    more = isinstance(loop, uvloop.Loop)
    loop.call_soon(*[loop.call_soon, end] if more else [end])
    loop.run_forever()
    return thread


def join(thread):
    """Wait at most 5 s until `thread` ends."""
    thread.join(5)
    assert not thread.is_alive()


@pytest.mark.engines("memory")  # the other engines need a running loop
@pytest.mark.parametrize("closed", [True, False])
def test_the_loop_ends(queue, loop, closed):
    """If the loop ends, a waiting thread gets an error, and its event is not published later."""
    raised = []

    def publish(called):
        try:
            answer = queue.publish({"n": 1})
            called()
            answer.result()
        except RuntimeError as error:
            raised.append(str(error))

    thread = ending(loop, publish)
    if closed:
        loop.close()
    join(thread)
    (error,) = raised
    assert error.startswith("the event loop of the queues has ended")
    if not closed:
        loop.run_until_complete(turn())
    assert queue.backlog_events == []


@pytest.mark.engines("memory")  # the other engines need a running loop
def test_the_loop_ends_and_nobody_waits(queue, loop, expect_log):
    """If the loop ends and no code waits, lost events are logged."""

    def publish(called):
        queue.publish({"n": 1})
        called()

    with expect_log("tatsumaki", "lost: the event loop of the queues has ended") as records:
        join(ending(loop, publish))
        loop.close()
    assert len(records) == 1


@pytest.mark.engines("memory")  # the other engines need a running loop
def test_the_loop_ends_while_there_is_no_room(queue, loop, expect_log):
    """If the loop ends, a thread that waits for room gets an error."""
    raised = []

    def publish(called):
        try:
            while True:
                queue.publish({"n": 1})
                called()
        except RuntimeError as error:
            raised.append(str(error))

    with expect_log("tatsumaki", "lost: the event loop") as records:
        join(ending(loop, publish, MAX_CROSSING))
        loop.close()
    assert (len(records), len(raised)) == (MAX_CROSSING, 1)
