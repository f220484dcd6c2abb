"""When a request starts and ends; all its objects are released at the end."""

import asyncio
import gc
import inspect

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from tatsumaki_py import HTTPClient


async def until(condition):
    while not condition():
        await asyncio.sleep(0.001)


@pytest.mark.gen_test
async def test_starts_without_await(client, answer, peer):
    """A request is sent even if no code awaits it."""
    there = await peer(answer())
    client.get(there.url)
    await until(lambda: there.requests)


@pytest.mark.gen_test
async def test_cancel(client, peer):
    """Cancelling the await closes the connection; no callback is called, and no line is logged."""
    silent = await peer(None)
    called = []

    async def waits():
        await client.get(silent.url, called.append)

    task = asyncio.ensure_future(waits())
    await until(lambda: silent.requests)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(silent.left.wait(), 5)
    gc.collect()
    assert called == []


@pytest.mark.gen_test
async def test_cancel_before_it_starts(client, answer, peer):
    """A request that is cancelled immediately is not sent."""
    there = await peer(answer())
    future = client.get(there.url)
    future.cancel()
    with pytest.raises(asyncio.CancelledError):
        await future
    await client.get(there.url)
    assert len(there.requests) == 1


@pytest.mark.gen_test
async def test_cancel_while_connecting(client, peer):
    """A request that is cancelled while it connects is not sent."""
    silent = await peer(None)
    future = client.get(silent.url)
    for _ in range(4):
        await asyncio.sleep(0)
    future.cancel()
    with pytest.raises(asyncio.CancelledError):
        await future
    await asyncio.sleep(0.05)
    assert silent.requests == []


@pytest.mark.gen_test
async def test_no_queue(client, answer, peer):
    """Requests do not wait for each other (Tornado's shared client runs ten at a time)."""
    silent = await peer(None)
    futures = [client.get(silent.url) for _ in range(30)]
    await until(lambda: len(silent.requests) == 30)
    there = await peer(answer("quick"))
    assert (await client.get(there.url)).content == b"quick"
    for future in futures:
        future.cancel()
    await asyncio.wait(futures)


def test_one_client_for_many_loops():
    """A client can be used in several loops, one after another."""
    client = HTTPClient()

    async def ask():
        return (await client.get("http://127.0.0.1:1/")).code

    assert [asyncio.run(ask()), asyncio.run(ask())] == [595, 595]


@pytest.mark.gen_test
async def test_nothing_is_left(client, answer, peer):
    """A request that has ended leaves no object of the package for the garbage collector."""
    there = await peer(answer("abc"))
    await client.get(there.url)
    await asyncio.sleep(0.01)
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        await client.get(there.url)
        await asyncio.sleep(0.01)
        gc.collect()
        ours = [o for o in gc.garbage if type(o).__module__.startswith("tatsumaki_py")]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert ours == []


class Canned(AsyncHTTPClient):
    """Another implementation, which uses only the documented interface."""

    def fetch_impl(self, request, callback):
        assert (request.user_agent, request.follow_redirects) == ("mine", False)
        for line in ("HTTP/1.1 200 OK\r\n", "X-A: 1\r\n", "\r\n"):
            request.header_callback(line)
        request.streaming_callback(b"canned ")
        request.streaming_callback(request.url.encode())
        callback(HTTPResponse(request, 200))


@pytest.fixture
def implementation():
    yield AsyncHTTPClient.configure
    AsyncHTTPClient.configure(None)


@pytest.mark.gen_test
async def test_other_implementation(implementation):
    """The client uses the implementation that is configured for `AsyncHTTPClient`."""
    implementation(Canned)
    res = await HTTPClient(agent="mine").get("http://x.example/")
    assert (res.content, res.header("X-A")) == (b"canned http://x.example/", "1")


@pytest.mark.gen_test
async def test_configured_arguments(implementation, answer, peer):
    """The configured arguments of an implementation are used, but not its user agent."""
    there = await peer(answer("mapped"))
    implementation(None, hostname_mapping={"x.example": "127.0.0.1"}, defaults={"user_agent": "no"})
    assert (await HTTPClient().get(f"http://x.example:{there.port}/")).content == b"mapped"
    assert b"tatsumaki_py" in there.requests[0]


@pytest.mark.gen_test
async def test_tornado_contract():
    """Tornado has the coroutine `connect`, which `_Connections` replaces to cancel requests."""
    client = SimpleAsyncHTTPClient(force_instance=True)
    assert inspect.iscoroutinefunction(client.tcp_client.connect)
    client.close()
