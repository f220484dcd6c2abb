"""Requests with a callback, as in Perl."""

import asyncio
import gc

import pytest
import tornado.web

from tatsumaki_py import Error, Handler, HTTPClient


class Hello(tornado.web.RequestHandler):
    def get(self):
        self.write("hello")

    post = get


class Front(Handler):
    asynchronous = True

    def get(self):
        HTTPClient().get(self.request.param("url"), self.async_cb(self.on_response))

    def on_response(self, res):
        if res.is_error:
            Error.HTTP.throw(502, f"upstream {res.code}")
        self.finish(res.content)


class Awaiting(Handler):
    async def get(self):
        self.write((await HTTPClient().get(self.request.param("url"))).content)


@pytest.fixture
def app():
    return tornado.web.Application([("/hello", Hello), ("/front", Front), ("/await", Awaiting)])


@pytest.fixture
def url(http_server, http_port):
    return f"http://127.0.0.1:{http_port}/hello"


REFUSED = "http://127.0.0.1:1/"


@pytest.mark.gen_test
async def test_called_once_from_the_loop(client, url):
    """The callback is called once, with the future's result, after the method has returned."""
    got = []
    future = client.get(url, got.append)
    assert got == []
    assert got == [await future]
    assert got[0].content == b"hello"


@pytest.mark.gen_test
async def test_body_may_be_left_out(client, url):
    """`post(url, callback)` sends no body, and calls the callback."""
    got = []
    await client.post(url, got.append)
    assert got[0].content == b"hello"


@pytest.mark.parametrize("bad", [REFUSED, "ftp://x/"])
@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="Python 3.12")
@pytest.mark.gen_test
async def test_eager_tasks(client, bad):
    """With eager tasks, the callback is also not called before the method has returned."""
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    got = []
    future = client.get(bad, got.append)
    assert got == []
    await future
    assert len(got) == 1


@pytest.mark.parametrize("bad", [REFUSED, "nonsense"])
@pytest.mark.gen_test
async def test_need_not_be_awaited(client, url, bad):
    """A request ends and calls its callback even if no code keeps or awaits the future."""
    done = asyncio.Queue()
    client.get(url, done.put_nowait)
    client.get(bad, done.put_nowait)
    client.get(bad)
    gc.collect()
    assert sorted([(await done.get()).code, (await done.get()).code])[0] == 200


@pytest.mark.gen_test
async def test_exception_is_logged(client, url, expect_log):
    """An exception in a callback is logged with its traceback, and the future has the response."""
    with expect_log("tatsumaki", "uncaught exception in the callback") as records:
        assert (await client.get(url, lambda res: 1 / 0)).code == 200
    assert records[0].exc_info[0] is ZeroDivisionError


@pytest.mark.gen_test
async def test_coroutine_callback(client, url, expect_log):
    """A callback can be a coroutine function; its exception is logged."""

    async def callback(res):
        await asyncio.sleep(0)
        raise KeyError(res.code)

    with expect_log("tatsumaki", "uncaught exception in the callback") as records:
        await client.get(url, callback)
    assert records[0].exc_info[1].args == (200,)


@pytest.mark.gen_test
async def test_failed_future_of_a_callback(client, url):
    """A failed future that a callback returns, such as that of `finish`, is ignored."""
    failed = asyncio.get_running_loop().create_future()
    failed.set_exception(ConnectionError())
    failed.exception()
    assert (await client.get(url, lambda res: failed)).code == 200


@pytest.mark.parametrize("path", ["/front", "/await"])
@pytest.mark.gen_test
async def test_in_a_handler(client, url, path):
    """A handler can answer with fetched content, using a callback or `await`."""
    front = url.replace("/hello", f"{path}?url=")
    assert (await client.get(front + url)).content == b"hello"


@pytest.mark.gen_test
async def test_throw_in_a_handler(client, url):
    """An `Error.HTTP` that is thrown in a callback through `async_cb` becomes the answer."""
    res = await client.get(url.replace("/hello", f"/front?url={REFUSED}"))
    assert (res.status_line, res.content) == ("502 Bad Gateway", b"upstream 595")
