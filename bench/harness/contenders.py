"""The contenders, and how the load generator talks to them."""

import importlib.util
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Contender:
    """`server` is a file in servers/; the generator requests the paths."""

    name: str
    server: str
    needs: tuple[str, ...] = ()
    program: str = sys.executable
    """The program that runs the file."""
    stream: str = "/stream"
    poll: str = "/poll"
    publish: str = "/publish"
    plain: str = "/plain"
    headers: tuple[str, ...] = ("Accept: text/event-stream",)
    poll_echo: tuple[str, ...] = ("Last-Event-ID:Last-Event-ID",)
    """Pairs `FROM:TO`: the response header FROM of a long poll is sent back as the header TO."""
    say: str = ""
    """The text that a WebSocket client sends first."""
    ready: str = ""
    """A client is subscribed when it has received this text or, if empty, its response headers."""
    engine: str = ""
    """The URL that the server finds in TATSUMAKI_ENGINE."""
    http: str = ""
    """The HTTP server that `Server` takes, as in TATSUMAKI_HTTP."""
    arguments: tuple[str, ...] = ()
    """The arguments of the server after its port."""

    def missing(self) -> list[str]:
        """The items of `needs` that are not installed: modules, programs, or files with a slash."""
        return [need for need in self.needs if not _is_there(need)]


def on_tornado(contender: Contender) -> Contender:
    """The same program on Tornado's HTTP server, which `Server` uses if `httptools` is missing."""
    return replace(contender, name=f"{contender.name}, on Tornado's HTTP server", http="tornado")


def _is_there(need: str) -> bool:
    if "/" in need:
        return Path(need).exists()
    return bool(importlib.util.find_spec(need) or shutil.which(need))


NCHAN_NEEDS = ("nginx", "/usr/lib/nginx/modules/ngx_nchan_module.so")
WEBSOCKET = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)

TATSUMAKI = Contender(
    "tatsumaki_py",
    "tatsumaki.py",
    stream="/chat/room/mxhrpoll?client_id=c{id}",
    poll="/chat/room/poll?client_id=c{id}",
    publish="/chat/room/post",
    headers=(),
)
# The same stream with cursors in it, for clients that will reconnect.
# nchan and the others read the cursor from the header that EventSource sends.
TATSUMAKI_CURSOR = Contender(
    "tatsumaki_py",
    "tatsumaki.py",
    stream="/chat/room/mxhrpoll?client_id=c{id}&last_event_id={cursor}",
    publish="/chat/room/post",
    headers=(),
)
SUBSCRIBE_SSE = Contender(
    "SubscribeHandler, EventSource",
    "tatsumaki.py",
    stream="/subscribe/room",
    publish="/chat/room/post",
)
SUBSCRIBE_WEBSOCKET = Contender(
    "SubscribeHandler, WebSocket",
    "tatsumaki.py",
    stream="/subscribe/room",
    publish="/chat/room/post",
    headers=WEBSOCKET,
)
SUBSCRIBE_POLL = Contender(
    "SubscribeHandler, long-poll",
    "tatsumaki.py",
    poll="/subscribe/room?transport=long-poll&client_id=c{id}",
    publish="/chat/room/post",
    headers=(),
)
WEBSOCKET_HANDLER = Contender(
    "WebSocketHandler",
    "tatsumaki.py",
    stream="/websocket/room",
    publish="/chat/room/post",
    headers=WEBSOCKET,
)
SOCKET_LOOP = Contender("bare socket.send loop", "socket_loop.py")
NCHAN_CHUNKED = Contender(
    "nchan, chunked", "nchan.py", NCHAN_NEEDS, stream="/chunked", headers=("TE: chunked",)
)
NCHAN = Contender(
    "nchan, EventSource",
    "nchan.py",
    NCHAN_NEEDS,
    stream="/eventsource",
    poll_echo=("Etag:If-None-Match", "Last-Modified:If-Modified-Since"),
)
NCHAN_POLL = Contender(
    "nchan, long-poll",
    "nchan.py",
    NCHAN_NEEDS,
    headers=(),
    poll_echo=("Etag:If-None-Match", "Last-Modified:If-Modified-Since"),
)
TORNADO = Contender("Tornado, write + flush", "tornado_flush.py")
TORNADO_POLL = Contender("Tornado, future", "tornado_flush.py", headers=())
TORNADO_WEBSOCKET = Contender("Tornado, WebSocket", "tornado_websocket.py", headers=WEBSOCKET)
AIOHTTP = Contender("aiohttp", "aiohttp_stream.py", ("aiohttp",))
AIOHTTP_POLL = Contender("aiohttp, future", "aiohttp_stream.py", ("aiohttp",), headers=())
BUN = Contender("Bun, EventSource", "bun.js", ("bun",), "bun", stream="/stream/room")
BUN_WEBSOCKET = Contender(
    "Bun, WebSocket topic", "bun.js", ("bun",), "bun", stream="/stream/room", headers=WEBSOCKET
)
SSE_STARLETTE = Contender("sse-starlette, uvicorn", "sse_uvicorn.py", ("sse_starlette", "uvicorn"))

STREAMS = (
    TATSUMAKI,
    SUBSCRIBE_SSE,
    SUBSCRIBE_WEBSOCKET,
    WEBSOCKET_HANDLER,
    SOCKET_LOOP,
    NCHAN_CHUNKED,
    NCHAN,
    TORNADO,
    TORNADO_WEBSOCKET,
    AIOHTTP,
    SSE_STARLETTE,
    BUN,
    BUN_WEBSOCKET,
)
# Bun's listening backlog cannot be set.
CONNECTING = (
    *(contender for contender in STREAMS if contender.server != "bun.js"),
    on_tornado(TATSUMAKI),
    on_tornado(SUBSCRIBE_SSE),
)
# Servers whose own process publishes when a datagram asks for it.
INSIDE = (
    TATSUMAKI,
    SUBSCRIBE_SSE,
    SUBSCRIBE_WEBSOCKET,
    SOCKET_LOOP,
    BUN,
    BUN_WEBSOCKET,
)
PLAIN_TATSUMAKI = Contender("tatsumaki_py", "plain_tatsumaki.py")
PLAIN_TORNADO = Contender("Tornado", "plain_tornado.py")
PLAIN_AIOHTTP = Contender("aiohttp", "plain_aiohttp.py", ("aiohttp",))
TORNADO_ON_SERVER = Contender(
    "Tornado's Application, on tatsumaki_py.Server", "plain_tornado.py", arguments=("Server",)
)
PLAIN = (
    PLAIN_TATSUMAKI,
    on_tornado(PLAIN_TATSUMAKI),
    TORNADO_ON_SERVER,
    on_tornado(TORNADO_ON_SERVER),
    PLAIN_TORNADO,
    PLAIN_AIOHTTP,
)
STALLING = (
    TATSUMAKI,
    SUBSCRIBE_SSE,
    SUBSCRIBE_WEBSOCKET,
    NCHAN_CHUNKED,
    TORNADO,
    BUN,
    BUN_WEBSOCKET,
)
LONG_POLLS = (
    TATSUMAKI,
    SUBSCRIBE_POLL,
    on_tornado(TATSUMAKI),
    on_tornado(SUBSCRIBE_POLL),
    NCHAN_POLL,
    TORNADO_POLL,
    AIOHTTP_POLL,
)
RESUMING = (
    TATSUMAKI_CURSOR,
    SUBSCRIBE_SSE,
    on_tornado(TATSUMAKI_CURSOR),
    on_tornado(SUBSCRIBE_SSE),
    NCHAN,
    TORNADO,
    SSE_STARLETTE,
)
# Servers that also answer a plain request.
KEPT_ALIVE = (TATSUMAKI, on_tornado(TATSUMAKI), NCHAN, TORNADO, AIOHTTP)
