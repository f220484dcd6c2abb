"""Writes reach a subscriber joined and in order, at any pace, and streams end correctly."""

import asyncio
import contextlib
import gc
import os
import resource
import weakref

import pytest
from support.wire import iterations, open_sockets, read_chunk, read_head, read_reply, soon

from tatsumaki_py import Error


@pytest.mark.gen_test
async def test_ten_thousand_writes_are_one_send(get, sends):
    """Writes of one iteration are sent together, each as one chunk."""
    pairs = [await get("/?buffer=1000000") for _ in range(3)]
    for _, handler in pairs:
        handler.stream_write("a")
    for client, _ in pairs:
        await read_head(client)
        await read_chunk(client)
    sends.clear()
    for _ in range(10_000):
        for _, handler in pairs:
            handler.stream_write("x")
    assert sends == {}
    for client, _ in pairs:
        for _ in range(10_000):
            assert await read_chunk(client) == b"x"
    assert [len(sizes) for sizes in sends.values()] == [1, 1, 1]


@pytest.mark.gen_test
async def test_ten_thousand_events_are_one_send(get, sends, queue):
    """Events of one iteration are sent together."""
    for name in "abc":
        client, _ = await get(f"/room?id={name}&buffer=100000000")
    await asyncio.sleep(0.02)
    sends.clear()
    for number in range(10_000):
        queue.publish({"n": number})
    await client.read_until(b'{"n":9999}')
    assert [len(sizes) for sizes in sends.values()] == [1, 1, 1]


@pytest.mark.gen_test
async def test_one_write_waits_for_nobody(get):
    """A single write arrives within milliseconds of real time on an idle machine."""
    client, handler = await get()
    handler.stream_write("a")
    await read_head(client)
    await read_chunk(client)
    loop = asyncio.get_running_loop()
    times = []
    for _ in range(10):
        start = loop.time()
        handler.stream_write("b")
        assert await read_chunk(client) == b"b"
        times.append(loop.time() - start)
    assert min(times) < 0.03


@pytest.mark.parametrize("sizes", [(1, 100_000, 1), (100_000, 1, 1, 90_000), (1, 190_000, 2)])
@pytest.mark.gen_test
async def test_order_of_small_and_huge(small_buffers, get, raw_small, sizes):
    """Small and large writes arrive in order through a socket with small buffers."""
    client, handler = await get(connect=raw_small)
    for number, size in enumerate(sizes):
        handler.stream_write(str(number) * size)
        await iterations(number * 5)
    await read_head(client)
    for number, size in enumerate(sizes):
        assert await read_chunk(client) == str(number).encode() * size
    handler.finish()
    assert await client.read_all() == b"0\r\n\r\n"


@pytest.mark.gen_test
async def test_order_of_small_and_huge_over_tls(small_buffers, get_tls):
    """Small and large writes arrive in order over TLS."""
    reader, _, handler = await get_tls()
    handler.stream_write("0" * 100_000)
    await asyncio.sleep(0.02)
    handler.stream_write("1")
    handler.stream_write("2" * 90_000)
    handler.finish("end")
    await reader.readuntil(b"\r\n\r\n")
    body = (await reader.read()).split(b"\r\n")
    assert [chunk[:3] for chunk in body[1::2]] == [b"000", b"1", b"222", b"end", b""]


@pytest.mark.gen_test
async def test_finish_sends_everything_first(small_buffers, get, raw_small, access_log):
    """A slow reader gets all data and the last chunk, and then the connection ends."""
    client, handler = await get(connect=raw_small)
    handler.stream_write("x" * 100_000)
    await asyncio.sleep(0.02)
    handler.stream_write("y")
    handler.finish("end")
    await read_head(client)
    assert await read_chunk(client) == b"x" * 100_000
    assert await client.read_all() == b"1\r\ny\r\n3\r\nend\r\n0\r\n\r\n"
    assert (handler.finished, handler.closed, len(access_log())) == (1, 0, 1)


@pytest.mark.gen_test
async def test_nothing_follows_finish(get):
    """A write after `finish` sends nothing; awaiting it raises `ClientDisconnect`."""
    client, handler = await get()
    handler.stream_write("a")
    handler.finish()
    written = handler.stream_write("b")
    with pytest.raises(Error.ClientDisconnect):
        await written
    assert (await read_reply(client)).body == b"a"


@pytest.mark.gen_test
async def test_an_exception_cuts_it_off(get, queue, access_log, expect_log):
    """After an exception, the stream ends without its last chunk; the log names the channel and the
    client.
    """
    client, handler = await get("/room?id=ann")
    queue.publish({"n": 1})
    await client.read_until(b"{")
    handler.on_event = None

    def fail(*events):
        raise KeyError("x")

    queue.clients["ann"].listener.call = fail
    with expect_log("tatsumaki", "ann.*room") as records:
        queue.publish({"n": 2})
    assert records[0].exc_info[0] is KeyError
    rest = await client.read_all()
    assert not rest.endswith(b"0\r\n\r\n")
    assert (handler.finished, len(access_log())) == (1, 1)


@pytest.mark.gen_test
async def test_async_cb_cuts_it_off(get, access_log, expect_log):
    """An exception in a wrapped callback ends the stream."""
    client, handler = await get()
    handler.stream_write("a")

    def fail():
        raise KeyError("x")

    await read_head(client)
    await read_chunk(client)
    with expect_log("tornado.application", "Uncaught exception") as records:
        handler.async_cb(fail)()
    assert len(records) == 1
    assert await client.read_all() == b""
    assert (handler.finished, len(access_log())) == (1, 1)


@pytest.mark.gen_test
async def test_a_stream_that_ends_itself_hears_no_more(get, queue):
    """After a handler finishes its stream, the queue no longer calls it."""
    client, handler = await get("/room?id=ann")
    queue.publish({"n": 1})
    handler.finish()
    queue.publish({"n": 2})
    body = (await read_reply(client)).body
    assert b'{"n":1}' in body
    assert b'{"n":2}' not in body
    assert queue.clients["ann"].listener is None


# -- clients that vanish at every point of the life of a stream


def before_headers(handler):
    pass


def after_headers(handler):
    handler.stream_write("")


def between_write_and_flush(handler):
    handler.stream_write("x")


def during_partial_write(handler):
    handler.stream_write("x" * 150_000)


def during_finish(handler):
    handler.stream_write("x" * 150_000)
    handler.finish("end")


@pytest.mark.parametrize("way", ["close", "reset", "half_close"])
@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize(
    "point",
    [before_headers, after_headers, between_write_and_flush, during_partial_write, during_finish],
)
@pytest.mark.gen_test
async def test_a_peer_vanishes(
    small_buffers, get, raw_small, access_log, made, point, settled, way
):
    """`on_finish` is called and the request logged once; later writes raise an exception; the
    handler is freed.
    """
    client, handler = await get(connect=raw_small)
    point(handler)
    if settled:
        await asyncio.sleep(0.01)
    getattr(client, way)()
    if point is during_finish:
        if way == "half_close":
            client.close()
        await asyncio.sleep(0.01)
        assert handler.closed == 0
    else:
        await soon(lambda: handler.closed)
        with pytest.raises(Error.ClientDisconnect):
            handler.stream_write("more")
        handler.write("more")
        await handler.finish("end")
        assert handler.closed == 1
    assert (handler.finished, len(access_log())) == (1, 1)
    reference = weakref.ref(handler)
    made.clear()
    handler = None
    await iterations()
    if point is not during_finish:
        gc.disable()
        try:
            assert reference() is None
        finally:
            gc.enable()


@pytest.mark.parametrize("way", ["close", "reset"])
@pytest.mark.gen_test
async def test_written_to_before_it_is_noticed(get, access_log, way):
    """A handler may begin its stream before the server notices that the client has left."""
    client, handler = await get()
    getattr(client, way)()
    with contextlib.suppress(Error.ClientDisconnect):
        handler.stream_write("a")
        handler.stream_write("b")
        await iterations(2)
        handler.stream_write("c")
    await soon(lambda: handler.closed)
    assert (handler.finished, handler.closed, len(access_log())) == (1, 1, 1)


@pytest.mark.gen_test
async def test_flushed_to_before_it_is_noticed(get, queue):
    """If the client has left unnoticed, its cursor stays before the unsent events."""
    client, handler = await get("/room?id=ann")
    await read_head(client)
    await iterations()
    start = queue.clients["ann"].cursor
    client.reset()
    for number in range(2):
        queue.publish({"n": number})
        handler.flush()
    await soon(lambda: handler.closed)
    assert queue.clients["ann"].cursor == start


@pytest.mark.parametrize("size", [1, 150_000])
@pytest.mark.gen_test
async def test_finished_before_it_is_noticed(small_buffers, get, raw_small, queue, size):
    """The cursor stays before the unsent events, even if the handler finished its stream."""
    client, handler = await get("/room?id=ann", connect=raw_small)
    await read_head(client)
    await iterations()
    start = queue.clients["ann"].cursor
    if size == 1:
        client.reset()
    queue.publish({"text": "x" * size})
    handler.finish()
    await iterations()
    client.reset()
    assert queue.clients["ann"].cursor == start


@pytest.mark.gen_test
async def test_a_tls_peer_vanishes(get_tls, access_log):
    """A client that leaves over TLS is noticed, with and without close_notify."""
    for goodbye in (True, False):
        _, writer, handler = await get_tls()
        handler.stream_write("a")
        await asyncio.sleep(0.01)
        if goodbye:
            writer.close()
        else:
            writer.transport.abort()
        await soon(lambda handler=handler: handler.closed)
        assert (handler.finished, handler.closed) == (1, 1)
    assert len(access_log()) == 2


@pytest.mark.gen_test
async def test_no_descriptor_is_left(get, raw, queue, access_log):
    """A stream needs no descriptor other than that of its connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def connect(port):
        client = await raw(port)
        await soon(lambda: open_sockets(port) == 1)
        with open(os.devnull) as lowest:
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest.fileno(), hard))
        return client

    try:
        client, handler = await get("/room?id=ann", connect=connect)
        await iterations()
        with pytest.raises(OSError, match="Too many"):
            os.dup(0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    await read_head(client)
    await read_chunk(client)
    queue.publish({"n": 1})
    assert b'{"n":1}' in await read_chunk(client)
    handler.finish()
    assert await client.read_all() == b"0\r\n\r\n"
    assert len(access_log()) == 1


@pytest.mark.gen_test
async def test_what_a_peer_says_is_read_and_dropped(get):
    """Data from a client is read and dropped, and the server still notices when the client
    leaves.
    """
    client, handler = await get()
    handler.stream_write("a")
    await read_head(client)
    for _ in range(50):
        await client.send(b"x" * 20_000)
        await asyncio.sleep(0)
    handler.stream_write("b")
    assert await read_chunk(client) == b"a"
    assert await read_chunk(client) == b"b"
    client.close()
    await soon(lambda: handler.closed)


@pytest.mark.gen_test
async def test_who_does_not_take_the_end_is_closed(small_buffers, get, raw_small, clock, http_port):
    """A finished stream whose client does not read is closed after a timeout."""
    _, handler = await get(connect=raw_small)
    handler.stream_write("x" * 150_000)
    handler.finish()
    stream = handler._stream
    await asyncio.sleep(0.01)
    assert stream.wire.fileno() != -1
    await clock.advance(31)
    assert stream.wire.fileno() == -1
