"""aiohttp: a `StreamResponse` per subscriber, a `write` to each of them, and long polls that wait
on a future.
"""

import asyncio
import sys
from collections import deque

from aiohttp import web

streams: set[web.StreamResponse] = set()
log: deque[tuple[int, bytes]] = deque(maxlen=1000)
waiting: set[asyncio.Future[None]] = set()


async def stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    streams.add(response)
    try:
        await asyncio.Future()
    finally:
        streams.discard(response)
    return response


async def poll(request: web.Request) -> web.Response:
    cursor = int(request.headers.get("Last-Event-ID", log[-1][0] if log else 0))
    if not log or log[-1][0] <= cursor:
        news = asyncio.get_running_loop().create_future()
        waiting.add(news)
        try:
            await news
        finally:
            waiting.discard(news)
    return web.Response(
        body=b"[%b]" % b",".join(event for number, event in log if number > cursor),
        content_type="application/json",
        headers={"Last-Event-ID": str(log[-1][0])},
    )


async def publish(request: web.Request) -> web.Response:
    event = await request.read()
    log.append((log[-1][0] + 1 if log else 1, event))
    for news in waiting:
        if not news.done():
            news.set_result(None)
    part = b"data: %b\n\n" % event
    for response in list(streams):
        await response.write(part)
    return web.Response(text="ok")


async def plain(request: web.Request) -> web.Response:
    return web.Response(text="ok")


if __name__ == "__main__":
    app = web.Application()
    app.add_routes(
        [
            web.get("/stream", stream),
            web.get("/poll", poll),
            web.post("/publish", publish),
            web.get("/plain", plain),
        ]
    )
    web.run_app(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        backlog=4096,
        access_log=None,
        print=None,
        handler_cancellation=True,  # otherwise the handler of a client that has left would stay
    )
