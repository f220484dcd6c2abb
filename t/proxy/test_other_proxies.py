"""With haproxy, Caddy and Apache as in the recipe, events are not delayed, and the server learns
when a client has left. test_push.py has more tests of nginx.
"""

import asyncio
import json
import re
import zlib

import pytest
from support.answers import until
from support.apache import THREADS
from support.proxies import DEPLOY, FILES
from support.subscriber import CLIENTS, STREAMS
from support.waiting import WAITING, comes_at_once, listening, subscribed
from support.wire import read_chunk, read_head, read_reply

from tatsumaki_py import Handler

OTHERS = [name for name in FILES if name != "nginx"]


class Who(Handler):
    def get(self):
        self.write([self.request.remote_ip, self.request.protocol, self.request.host])


def same(client):
    """A function that returns this connection instead of a new one."""

    async def connect(port):
        return client

    return connect


@pytest.mark.parametrize("proxy", OTHERS)
@pytest.mark.gen_test
async def test_events_come_at_once(run_recipe, http_server, http_port, raw, queue, proxy):
    """Events arrive immediately on all transports. haproxy without `http-no-delay` takes 200 ms."""
    port = run_recipe(proxy, http_port)
    clients = [
        await subscribed(raw, port, transport, count)
        for count, transport in enumerate(WAITING, start=1)
    ]
    for number in range(3):
        for client in clients[: len(STREAMS)] if number else clients:
            await comes_at_once(client, queue, number, 0.1)


@pytest.mark.parametrize("proxy", ["haproxy", "caddy"])
@pytest.mark.gen_test
async def test_clients_that_leave(run_recipe, http_server, http_port, raw, queue, proxy):
    """The server learns immediately that a client has left."""
    port = run_recipe(proxy, http_port)
    for transport in WAITING:
        for way in ("close", "reset"):
            client = await subscribed(raw, port, transport)
            getattr(client, way)()
            await until(lambda: listening() == 0)


@pytest.mark.gen_test
async def test_clients_that_leave_apache(
    run_recipe, http_server, http_port, raw, queue, subscribe_handler
):
    """Apache notices that a client has left only when it sends a heartbeat or the answer to
    a poll.
    """
    port = run_recipe("apache", http_port)
    subscribe_handler.heartbeat_interval = subscribe_handler.poll_timeout = 0.6
    client = await subscribed(raw, port, "websocket")
    client.close()
    await until(lambda: listening() == 0)
    clients = [
        await subscribed(raw, port, transport, count)
        for count, transport in enumerate(["sse", "ndjson", "multipart", "long-poll"], start=1)
    ]
    for client in clients:
        client.close()
    await asyncio.sleep(0.2)
    assert listening() == len(clients)
    await until(lambda: listening() == 0)


@pytest.mark.parametrize("proxy", ["haproxy", "apache"])
@pytest.mark.gen_test
async def test_heartbeats_keep_streams_alive(
    run_haproxy, run_apache, http_server, http_port, raw, queue, subscribe_handler, proxy
):
    """Heartbeats keep a stream open beyond the proxy's timeout; a stream without them is closed."""
    lines = (DEPLOY / FILES[proxy]).read_text().replace("5000", str(http_port))
    if proxy == "haproxy":
        port = run_haproxy(re.sub(r"(timeout \w+) 60s", r"\1 1s", lines))
    else:
        port = run_apache(f"ProxyTimeout 1\n{lines}")
    subscribe_handler.heartbeat_interval = None
    silent = await subscribed(raw, port, "sse")
    subscribe_handler.heartbeat_interval = 0.5
    clients = [CLIENTS[transport](port, connect=raw) for transport in STREAMS]
    for client in clients:
        await client.open()
    reading = [asyncio.ensure_future(client.next()) for client in clients]
    with pytest.raises(EOFError):
        await asyncio.wait_for(silent.read_until(b"an event"), 3)
    await asyncio.sleep(0.5)
    queue.publish({"n": 1})
    messages = await asyncio.wait_for(asyncio.gather(*reading), 5)
    assert [message.data for message in messages] == [{"n": 1}] * len(clients)


@pytest.mark.parametrize("proxy", OTHERS)
@pytest.mark.gen_test
async def test_after_the_end(run_recipe, http_server, http_port, raw, queue, proxy):
    """After the server ends a stream, its connection to the proxy is still usable. A WebSocket is
    closed with 1001.
    """
    port = run_recipe(proxy, http_port)
    for transport in STREAMS:
        client = await subscribed(raw, port, transport)
        # If Apache reads the head and the end together, it sends one answer with a Content-Length.
        await read_head(client)
        queue.disconnect()
        if transport == "websocket":
            await client.read_until(b"\x88\x02\x03\xe9")
            continue
        await client.read_until(b"0\r\n\r\n")
        await CLIENTS["interval-poll"](port, connect=same(client)).request()
        assert (await read_reply(client)).status == 200


@pytest.mark.parametrize("proxy", OTHERS)
@pytest.mark.gen_test
async def test_who_the_client_is(run_recipe, http_server, http_port, raw, app, queue, proxy):
    """Address and scheme are those that the proxy saw, whatever the client sends. Pages from other
    origins may not open WebSockets.
    """
    app.add_handlers(".*", [("/who", Who)])
    port = run_recipe(proxy, http_port)
    client = await raw(port)
    headers = ["X-Real-IP: 6.6.6.6", "X-Forwarded-For: 6.6.6.6", "X-Scheme: https"]
    headers += ["X-Forwarded-Proto: https"]
    await client.send("\r\n".join(["GET /who HTTP/1.1", "Host: x:1", *headers, "", ""]).encode())
    assert json.loads((await read_reply(client)).body) == ["127.0.0.1", "http", "x:1"]
    for origin, status in ((f"http://127.0.0.1:{port}", 101), ("http://evil.example", 403)):
        subscriber = CLIENTS["websocket"](port, connect=raw, headers={"Origin": origin})
        assert (await subscriber.open()).status == status


@pytest.mark.gen_test
async def test_compressed_by_apache(run_apache, http_server, http_port, raw, queue):
    """Apache's compression does not delay events."""
    lines = (DEPLOY / FILES["apache"]).read_text().replace("5000", str(http_port))
    port = run_apache(f"SetOutputFilter DEFLATE\n{lines}")
    client = await subscribed(raw, port, "sse", **{"Accept-Encoding": "gzip"})
    assert (await read_head(client)).headers["content-encoding"] == "gzip"
    unzip = zlib.decompressobj(wbits=31)
    for number in range(2):
        queue.publish({"n": number})
        text = b""
        while b'"n":%d' % number not in text:
            text += unzip.decompress(await asyncio.wait_for(read_chunk(client), 1))


@pytest.mark.gen_test
async def test_a_thread_for_each_stream(run_recipe, http_server, http_port, raw, queue):
    """Apache answers only as many requests at the same time as it has threads; the next request
    waits.
    """
    port = run_recipe("apache", http_port)
    for count in range(1, THREADS + 1):
        await subscribed(raw, port, "ndjson", count)
    client = await raw(port)
    await client.send(b"GET /events/room?transport=interval-poll HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = asyncio.ensure_future(read_reply(client))
    await asyncio.sleep(0.2)
    assert not answer.done()
    queue.disconnect()
    assert (await asyncio.wait_for(answer, 5)).status == 200
