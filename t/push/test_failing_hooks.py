"""An exception in one handler's hook is logged, and other handlers are not affected."""

import pytest
from support.pushing import Subscribing
from support.wire import iterations, open_sockets, read_chunk, read_head, soon

from tatsumaki_py import Application, MessageQueue


class Failing(Subscribing):
    def on_finish(self):
        super().on_finish()
        raise KeyError("on_finish")


class FailingEvents(Failing):
    def on_event(self, *events):
        raise ValueError("on_event")


@pytest.fixture
def app(made):
    kinds = (Failing, FailingEvents, Subscribing)
    return Application([(f"/{kind.__name__}", kind, {"made": made}) for kind in kinds])


@pytest.mark.gen_test
async def test_of_the_one_before(get, queue, expect_log):
    """If `on_finish` of a replaced connection fails, the new connection still has its stream."""
    first, _ = await get("/Failing?id=ann")
    await read_head(first)
    with expect_log("tornado.application", "Uncaught exception"):
        second, _ = await get("/Subscribing?id=ann")
        await first.read_all()
    assert (await read_head(second)).status == 200
    await read_chunk(second)
    queue.publish({"n": 1})
    assert b'{"n":1}' in await read_chunk(second)


@pytest.mark.gen_test
async def test_of_one_of_many(get, queue, expect_log):
    """All streams are disconnected, even if each `on_finish` fails."""
    pairs = [await get(f"/Failing?id={number}") for number in range(3)]
    with expect_log("tornado.application", "Uncaught exception"):
        queue.disconnect()
    for client, handler in pairs:
        await client.read_all()
        assert handler.finished == 1


@pytest.mark.gen_test
async def test_after_a_callback_that_failed(get, queue, expect_log):
    """The publisher gets no exception if a callback and `on_finish` fail."""
    client, handler = await get("/FailingEvents?id=ann")
    await iterations()
    with expect_log("tatsumaki", "callback"), expect_log("tornado.application", "Uncaught"):
        queue.publish({"n": 1})
    await client.read_all()
    assert handler.finished == 1


@pytest.mark.gen_test
async def test_who_is_cut_off(small_buffers, get, raw_small, http_port, queue, expect_log):
    """If `on_finish` of a slow client's stream fails, the connection is still closed."""
    _, handler = await get("/Failing?id=ann&buffer=10000", connect=raw_small)
    with expect_log("tornado.application", "Uncaught exception"):
        for number in range(200):
            queue.publish({"n": number, "text": "x" * 1000})
        await soon(lambda: handler.finished)
        await iterations()
    assert handler.closed == 1
    assert open_sockets(http_port) == 0
    assert MessageQueue.instance("room").subscribers == 0
