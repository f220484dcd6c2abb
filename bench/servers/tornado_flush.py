"""Plain Tornado: streams with `write` and `flush` to every handler, long polls on a future."""

import asyncio
import sys
from collections import deque

from tornado.web import Application, RequestHandler

log: deque[tuple[int, bytes]] = deque(maxlen=1000)
streams: set["Stream"] = set()
waiting: set[asyncio.Future[None]] = set()


def frame(number: int, event: bytes) -> bytes:
    return b"id: %d\ndata: %b\n\n" % (number, event)


class Stream(RequestHandler):
    async def get(self) -> None:
        self.set_header("Content-Type", "text/event-stream")
        if cursor := self.request.headers.get("Last-Event-ID"):
            self.write(b"".join(frame(*entry) for entry in log if entry[0] > int(cursor)))
        self.flush()
        streams.add(self)
        self.gone = asyncio.Future[None]()
        await self.gone

    def on_connection_close(self) -> None:
        streams.discard(self)
        self.gone.set_result(None)


class Poll(RequestHandler):
    async def get(self) -> None:
        cursor = int(self.request.headers.get("Last-Event-ID", log[-1][0] if log else 0))
        if not log or log[-1][0] <= cursor:
            self.news = asyncio.Future[None]()
            waiting.add(self.news)
            await self.news
        self.set_header("Content-Type", "application/json")
        self.set_header("Last-Event-ID", str(log[-1][0]))
        self.write(b"[%b]" % b",".join(event for number, event in log if number > cursor))

    def on_connection_close(self) -> None:
        waiting.discard(self.news)
        self.news.cancel()


class Plain(RequestHandler):
    def get(self) -> None:
        self.write("ok")


class Publish(RequestHandler):
    def post(self) -> None:
        number = log[-1][0] + 1 if log else 1
        log.append((number, self.request.body))
        part = frame(*log[-1])
        for stream in streams:
            stream.write(part)
            stream.flush()
        for news in waiting:
            news.set_result(None)
        waiting.clear()
        self.write("ok")


async def main() -> None:
    app = Application(
        [("/stream", Stream), ("/poll", Poll), ("/publish", Publish), ("/plain", Plain)]
    )
    app.listen(int(sys.argv[1]), "127.0.0.1", backlog=4096)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
