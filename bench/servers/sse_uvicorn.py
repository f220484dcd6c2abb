"""sse-starlette on uvicorn: an `EventSourceResponse` and a queue per subscriber."""

import asyncio
import sys
from collections import deque
from collections.abc import AsyncIterator

import uvicorn
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

log: deque[dict[str, str]] = deque(maxlen=1000)
queues: set[asyncio.Queue[dict[str, str]]] = set()


async def stream(request: Request) -> EventSourceResponse:
    cursor = request.headers.get("last-event-id")
    missed = [event for event in log if cursor and int(event["id"]) > int(cursor)]
    queue: asyncio.Queue[dict[str, str]] = asyncio.Queue(1000)
    queues.add(queue)

    async def events() -> AsyncIterator[dict[str, str]]:
        try:
            for event in missed:
                yield event
            while True:
                yield await queue.get()
        finally:
            queues.discard(queue)

    return EventSourceResponse(events())


async def publish(request: Request) -> PlainTextResponse:
    number = int(log[-1]["id"]) + 1 if log else 1
    log.append({"id": str(number), "data": (await request.body()).decode()})
    for queue in queues:
        queue.put_nowait(log[-1])
    return PlainTextResponse("ok")


if __name__ == "__main__":
    app = Starlette(routes=[Route("/stream", stream), Route("/publish", publish, methods=["POST"])])
    # uvicorn uses uvloop and httptools if they are installed
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        backlog=4096,
        log_level="error",
        access_log=False,
    )
