"""python-socketio on uvicorn: `emit` to every client, through Redis to the other processes."""

import os
import sys

import socketio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

server = socketio.AsyncServer(
    async_mode="asgi", client_manager=socketio.AsyncRedisManager(os.environ["TATSUMAKI_ENGINE"])
)


async def publish(request: Request) -> PlainTextResponse:
    await server.emit("message", await request.json())
    return PlainTextResponse("ok")


if __name__ == "__main__":
    routes = Starlette(routes=[Route("/publish", publish, methods=["POST"])])
    # uvicorn uses uvloop, httptools and websockets if they are installed
    uvicorn.run(
        socketio.ASGIApp(server, routes),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        backlog=4096,
        log_level="error",
        access_log=False,
    )
