"""Through nginx, with its defaults or as the page says, events are not delayed and clients that
leave are noticed.
"""

import asyncio
import json
import time
import zlib

import pytest
from support.answers import until
from support.subscriber import CLIENTS, STREAMS
from support.waiting import AT_ONCE, WAITING, comes_at_once, listening, subscribed
from support.wire import read_chunk, read_head, read_reply

HTTP = [transport for transport in WAITING if transport != "websocket"]
BARE = "server {{ listen 80; location / {{ proxy_pass http://127.0.0.1:{}; }} }}"


@pytest.mark.parametrize("transport", WAITING)
@pytest.mark.gen_test
async def test_events_come_at_once(nginx, raw, queue, transport):
    """Each event arrives as soon as it is published."""
    client = await subscribed(raw, nginx(), transport)
    await comes_at_once(client, queue, 1)
    if transport in STREAMS:
        await comes_at_once(client, queue, 2)
        await comes_at_once(client, queue, 3)


@pytest.mark.parametrize("transport", HTTP)
@pytest.mark.gen_test
async def test_without_any_configuration(run_nginx, http_server, http_port, raw, queue, transport):
    """Events arrive even if nginx uses HTTP/1.0 to the application, its default up to 1.29.6."""
    client = await subscribed(raw, run_nginx(BARE.format(http_port)), transport)
    await comes_at_once(client, queue, 1)
    if transport in STREAMS:
        await comes_at_once(client, queue, 2)


@pytest.mark.parametrize("transport", HTTP[:-1])
@pytest.mark.gen_test
async def test_compressed(nginx, raw, queue, transport):
    """Compression with gzip does not delay events."""
    port = nginx("gzip on; gzip_types *; gzip_min_length 0;")
    client = await subscribed(raw, port, transport, **{"Accept-Encoding": "gzip"})
    head = await read_head(client)
    assert head.headers["content-encoding"] == "gzip"
    unzip = zlib.decompressobj(wbits=31)
    for number in range(3):
        queue.publish({"n": number})
        started, text = time.monotonic(), b""
        while b'"n":%d' % number not in text:
            text += unzip.decompress(await asyncio.wait_for(read_chunk(client), 5))
        assert time.monotonic() - started < AT_ONCE


@pytest.mark.gen_test
async def test_heartbeats_keep_streams_alive(nginx, raw, queue, subscribe_handler):
    """Heartbeats keep a stream open beyond the timeout of nginx; a stream without them is
    closed.
    """
    port = nginx("proxy_read_timeout 1s;")
    subscribe_handler.heartbeat_interval = None
    silent = await subscribed(raw, port, "sse")
    subscribe_handler.heartbeat_interval = 0.5
    clients = [
        await subscribed(raw, port, transport, count=count)
        for count, transport in enumerate(STREAMS, start=2)
    ]
    with pytest.raises(EOFError):
        await asyncio.wait_for(silent.read_until(b"an event"), 2)
    await asyncio.sleep(0.5)
    await until(lambda: listening() == len(STREAMS))
    queue.publish({"n": 1})
    for client in clients:
        await asyncio.wait_for(client.read_until(b'"n":1'), AT_ONCE)


@pytest.mark.parametrize("way", ["close", "reset"])
@pytest.mark.parametrize("transport", WAITING)
@pytest.mark.gen_test
async def test_who_leaves_is_seen(nginx, raw, queue, transport, way):
    """The server learns through nginx that a client has left."""
    client = await subscribed(raw, nginx(), transport)
    getattr(client, way)()
    await until(lambda: listening() == 0)


@pytest.mark.parametrize("transport", HTTP)
@pytest.mark.gen_test
async def test_goes_on_after_the_end(nginx, raw, queue, transport):
    """After the server ends a stream normally, the connection to nginx is still usable."""
    client = await subscribed(raw, nginx(), transport)
    queue.publish({"n": 1})
    if transport in STREAMS:
        await client.read_until(b'"n":1')
        queue.disconnect()
        await client.read_until(b"\r\n0\r\n\r\n")
    else:
        assert json.loads((await read_reply(client)).body) == [{"n": 1}]
    queue.publish({"n": 2})

    async def same(port):
        return client

    await CLIENTS["interval-poll"](0, connect=same).request()
    assert {"n": 2} in json.loads((await read_reply(client)).body)


@pytest.mark.gen_test
async def test_ended_websocket(nginx, raw, queue):
    """The close code 1001 reaches the client."""
    client = await subscribed(raw, nginx(), "websocket")
    queue.disconnect()
    await client.read_until(b"\x88\x02\x03\xe9")


@pytest.mark.gen_test
async def test_many_events(nginx, raw, queue):
    """A client that reads gets more events than nginx can buffer, in order."""
    client = await subscribed(raw, nginx(), "ndjson")
    await read_head(client)
    text = "x" * 50_000
    for number in range(40):
        queue.publish({"n": number, "text": text})
        # Wait for the client, so that it is not disconnected as too slow.
        await client.read_until(b'"n":%d' % number)
