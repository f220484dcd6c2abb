"""aiohttp: a `StreamResponse` per subscriber, and `write` to every one of them."""

import asyncio
import sys

from aiohttp import web

streams: set[web.StreamResponse] = set()


async def stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    streams.add(response)
    try:
        await asyncio.Future()
    finally:
        streams.discard(response)
    return response


async def publish(request: web.Request) -> web.Response:
    part = b"data: %b\n\n" % await request.read()
    for response in list(streams):
        await response.write(part)
    return web.Response(text="ok")


if __name__ == "__main__":
    app = web.Application()
    app.add_routes([web.get("/stream", stream), web.post("/publish", publish)])
    web.run_app(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        backlog=4096,
        access_log=None,
        print=None,
        handler_cancellation=True,  # else the waiting handler of a client that left stays
    )
