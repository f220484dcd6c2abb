"""A strictly typed user program, which test_user_program.py checks without running it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Mapping
from pathlib import Path
from typing import Any, assert_type

import tornado.web
from tornado.httputil import HTTPFile

from tatsumaki_py import (
    AnyService,
    Application,
    AwaitedPoll,
    Client,
    Cookies,
    CrossOriginHandler,
    Durations,
    Error,
    Event,
    Handler,
    HealthHandler,
    HTTPClient,
    HTTPResponse,
    IteratedPoll,
    JSONCodec,
    MergedQueue,
    MessageQueue,
    MetricsHandler,
    MultiValue,
    Poll,
    Published,
    PublishHandler,
    Request,
    Response,
    Server,
    Service,
    Snapshot,
    State,
    StreamInfo,
    SubscribeHandler,
    Template,
    TemplateEngine,
    Ticket,
    TicketedHandler,
    WebSocketHandler,
    testing,
)
from tatsumaki_py.publisher import Publisher
from tatsumaki_py.testing import (
    Connection,
    Ended,
    FreshQueues,
    Message,
    Proxy,
    RedisServer,
    Reply,
    Subscriber,
    until,
)


class Clock(Service):
    def start(self) -> None:
        self.begun = 1.0
        assert_type(self.application, Application)


class Dated(MessageQueue):
    json = json.JSONEncoder(default=str)


class Begins(Handler):
    application: Application

    def post(self) -> None:
        self.application.spawn(asyncio.sleep(1))


class Polls(Handler):
    asynchronous = True

    def get(self, channel: str) -> None:
        mq = MessageQueue.instance(channel)
        client_id = self.request.param("client_id") or Error.HTTP.throw(400, "client_id needed")
        assert_type(client_id, str)
        mq.poll_once(client_id, self.on_new_event)
        mq.poll_once(client_id, self.async_cb(self.on_new_event), 10, last_event_id="1-0")

    def on_new_event(self, *events: Event) -> None:
        self.write(events)
        self.finish()


class Stream(Handler):
    nonblocking = True
    max_buffer = 1024
    json = json.JSONEncoder(indent=1)

    def initialize(self, greeting: str) -> None:
        self.greeting = greeting

    def get(self, channel: str, optional: str | None = None) -> None:
        self.multipart_xhr_push(True)
        assert_type(self.mxhr, bool)
        MessageQueue.instance(channel).poll("me", self.stream_write)

    def head(self, channel: str, optional: str | None = None) -> None:
        self.response.status = 204

    def on_finish(self) -> None:
        self.log("%s left", self.args[0])
        self.log.debug("%s left", self.args[0])

    def on_connection_close(self) -> None:
        super().on_connection_close()


class Follows(SubscribeHandler):
    allowed_origins = ("https://www.example.com",)
    heartbeat_interval = None
    max_stream_time = None

    async def prepare(self) -> None:
        await asyncio.sleep(0)

    async def channels(self) -> list[str]:
        return [f"user-{self.client_id()}"]

    async def can_subscribe(self, channel: str) -> bool:
        return self.current_user is not None

    recheck_time = 60
    max_per_address = 50

    def group(self) -> bytes | None:
        return self.get_signed_cookie("user")

    def on_subscribe(self, channel: str) -> None:
        assert_type(MessageQueue.instance(channel).subscribers, int)

    async def on_unsubscribe(self, channel: str) -> None:
        published = MessageQueue.instance(channel).publish({"n": 1}, idempotency_key="key")
        assert_type(await published, list[str])


class WithTickets(TicketedHandler):
    def can_subscribe(self, channel: str) -> bool:
        return self.check_ticket(channel).group != "mallory"


class Tickets(CrossOriginHandler):
    allowed_origins = ("https://www.example.com",)

    def post(self) -> None:
        assert_type(self.create_ticket(["a", 7], 60, group=self.get_signed_cookie("user")), str)


class Publishes(PublishHandler):
    max_batch = 10
    max_rate = 2
    max_burst = 5

    def can_publish(self, channel: str) -> bool:
        return channel != "staff"


class Live(WebSocketHandler):
    def initialize(self, greeting: str) -> None:
        self.greeting = greeting

    async def open(self, *channels: str) -> None:
        poll = MessageQueue.instance(*channels).poll(None, self.on_events, on_unsubscribe=self.gone)
        assert_type((poll.new, poll.cursor), tuple[bool, str])

    async def on_events(self, *events: Event) -> None:
        for event in events:
            await self.stream_write(event)

    def gone(self) -> None:
        self.close(1000, "enough")

    def on_message(self, message: str | bytes) -> None:
        self.stream_write({"you said": str(message)})


class Awaits(Handler):
    async def prepare(self) -> None:
        self.args = [*self.args, "more"]

    async def get(self, channel: str) -> None:
        mq = MessageQueue.instance(channel)
        events = await mq.poll_once("me", timeout=1.5)
        assert_type(events, list[Event])
        self.write(events)
        async for batch in mq.poll("me", last_event_id=mq.cursor()):
            for event in batch:
                await self.stream_write(dict(event, mine=1))
        await self.flush()
        await self.finish({"done": True})

    async def head(self, channel: str) -> None:
        self.binary = True

    async def put(self, channel: str) -> None:
        mq = Dated.instance(channel)
        await mq.publish("text", ["a", 1], {"n": 1.5}, 5, True, None)
        text, items, mapping, number, *_ = mq.backlog_events
        assert_type((text.id, text.channel, text.json, text.gap), tuple[str, str, bytes, bool])
        self.write(text.upper(), items[0], mapping["n"], number + 1, text.data, len(items))
        for item in items:
            self.stream_write(item)
        first, count = items[0], mapping.get("n", 0)
        self.write(first, count)
        self.write(text)
        mq.append_backlog(text, text.data)
        mq.flush_events("me", "text", None)

    async def post(self, channel: str) -> None:
        ids = await MessageQueue.instance(channel).publish({"text": "a"}, {"text": "b"})
        assert_type(ids, list[str])
        self.write("published", len(ids), b"bytes", [1.5])
        self.write()
        self.write(None)
        self.stream_write("a", b"b", 1)

    def patch(self, *args: str, **kwargs: str) -> None:
        raise Error.HTTP(403, "no", log_message="tried")


class Reads(Handler):
    def get(self) -> None:
        request: Request = self.request
        assert_type(request.param("a"), str | None)
        assert_type(request.param("a", "b"), str)
        assert_type(request.param("a", 1), str | int)
        assert_type(request.parameters["a"], str)
        assert_type(request.parameters.get("a"), str | None)
        assert_type(request.parameters.get_all("a"), list[str])
        assert_type(request.uploads["a"], HTTPFile)
        assert_type(request.address, str | None)
        assert_type(request.param(), list[str])
        assert_type(request.upload("a"), HTTPFile | None)
        assert_type(request.upload(), list[str])
        assert_type(request.content, bytes)
        assert_type(request.user_agent, str | None)
        assert_type(request.env, Mapping[str, Any])
        response: Response = self.response
        response.status = 201
        response.content_type = "text/plain"
        response.header("X-Number", 1)
        assert_type(response.header("X-Number"), str | None)
        response.cookies["a"] = {"value": "b", "max_age": 60}
        response.headers = {"Content-Type": "text/plain", "X-Lines": ["a", "b"]}
        response.headers = [("Content-Type", "text/plain"), ("X-Number", 1)]
        response.body = ["<h1>", b"</h1>"]
        assert_type(response.body, bytes)
        assert_type(response.content_length, int | None)
        response.redirect("/there", 301)
        assert_type(response.redirect(), str | None)
        self.render("page.html", {"a": 1}, b=2)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self.finish({"code": status_code})

    def get_chunk(self, chunk: Any, *more: Any) -> bytes:
        return super().get_chunk(chunk, *more)

    def get_current_user(self) -> str:
        return "me"


class Fetches(Handler):
    async def get(self) -> None:
        answer = await HTTPClient().get("http://localhost/")
        self.write(answer.decoded_content if answer.is_success else answer.status_line)


class Plain(tornado.web.RequestHandler):
    def get(self) -> None:
        raise Error.HTTP(403)


class Engine:
    include_path: list[str]

    def __init__(self) -> None:
        self.include_path = []

    def render_file(self, name: str, args: Mapping[str, Any]) -> str:
        return name


rules = [
    (r"/(\w+)/poll", Polls),
    (r"/(\w+)/stream", Stream, {"greeting": "hello"}),
    tornado.web.url(r"/(\w+)", Awaits, name="awaits"),
]
app = Application(rules, static_path=Path("static"), template_path="templates", debug=False)
app.add_handlers("/reads", Reads, "/fetches", Fetches)
app.add_handlers("example.com", [("/plain", Plain)])
app.route("/more", Stream, greeting="more")
app.template_path = [Path("one"), "two"]
app.static_path = "static"
app.template = Engine()
app.template = Template("templates")
assert_type(app.add_service(Clock()), Clock)
assert_type(app.add_service("clock", Clock()), Clock)
other = Application({"/": Reads})


async def publish() -> None:
    poll = MessageQueue.instance("a").poll("me", lambda *events: None)
    poll.cancel()
    try:
        await MessageQueue.instance("a").publish({"n": 1}, key="a")
    except Error.ClientDisconnect as error:
        print(error)
    except Error.HTTP as error:
        assert_type(error.code, int)
        assert_type(error.message, str)


def several(names: list[str]) -> str:
    """Listens to several channels together, and describes a poll."""
    assert_type(MessageQueue.instance("a"), MessageQueue)
    assert_type(MessageQueue.instance("a", "b"), MessageQueue | MergedQueue)
    both = MessageQueue.instance(*names)
    assert_type(both, MessageQueue | MergedQueue)
    poll = both.poll(None, print, last_event_id=both.cursor(), on_unsubscribe=lambda: None)
    assert_type(poll.new, bool)
    assert_type(both.subscribers, int)
    return poll.cursor


class Dashboard:
    """Keeps objects of the package, so that it has to name their types."""

    codec: JSONCodec = Dated.json
    engine: TemplateEngine = Template()
    poll: Poll | None = None
    answer: HTTPResponse | None = None
    lately: Durations | None = None
    stream: StreamInfo | None = None
    ticket: Ticket | None = None

    async def follow(self, mq: MessageQueue | MergedQueue) -> list[Event]:
        once: AwaitedPoll = mq.poll_once(None)
        every: IteratedPoll = mq.poll("me")
        self.poll = every
        async for events in every:
            assert_type(events, list[Event])
            break
        every.cancel()
        waited: Awaitable[list[Event]] = once
        iterated: AsyncIterator[list[Event]] = every
        assert_type((await waited, await anext(iterated)), tuple[list[Event], list[Event]])
        self.poll = mq.poll_once("me", print, 0)
        self.poll = mq.poll("me", callback=print)
        assert_type(await asyncio.wait_for(once, 5), list[Event])
        return await mq.poll_once("me", None, 5)

    def names(self, clients: Mapping[str, Client], services: Mapping[str, AnyService]) -> list[str]:
        return [name for name, one in clients.items() if one.state is State.LISTENING] + [*services]

    def first(self, fields: MultiValue[str], cookies: Cookies) -> str:
        cookies["seen"] = "1"
        return fields.get_all("a")[0]


def in_a_thread(mq: MessageQueue) -> list[str]:
    published: Published = mq.append_backlog({"n": 1})
    published.result()
    return mq.publish({"n": 1}).result(5)


class Patient(HealthHandler):
    max_loop_lag = None


class Metrics(MetricsHandler):
    def prepare(self) -> None:
        if self.request.remote_ip != "127.0.0.1":
            raise Error.HTTP(403)


async def look() -> float:
    before, now = Snapshot.take(), Snapshot.take()
    assert_type(now.connections["sse"], int)
    assert_type(now.connections_ended["sse"].get("closed"), int | None)
    average = now.delivery_seconds.since(before.delivery_seconds).average
    assert_type(average, float | None)
    return (now.events_published - before.events_published) / (now.time - before.time)


def log_stream(handler: Handler | WebSocketHandler) -> str:
    info = handler.stream_info
    if info is None:
        return ""
    assert_type(info.events, int)
    return info.transport + info.end


def kick(user: int) -> int:
    assert_type(MessageQueue.instance("a").disconnect("me"), bool)
    assert_type(MessageQueue.instance("a", "b").disconnect(), bool)
    return Follows.disconnect(user) + SubscribeHandler.disconnect(b"ann")


async def once() -> list[str]:
    return await MessageQueue.instance("a").publish({"n": 1}, idempotency_key="key")


def from_outside() -> list[str]:
    url, headers = "http://127.0.0.1:5000/publish/{channel}", {"Authorization": "Bearer t"}
    with Publisher(url, headers=headers, publish_timeout=1, json=Dated.json) as publisher:
        assert_type(publisher.publish_json("a", b"{}"), list[str])
        return publisher.publish("a", {"n": 1}, idempotency_key="key")


async def from_a_task() -> None:
    async with Publisher("redis://127.0.0.1", prefix="chat") as publisher:
        assert_type(await publisher.apublish(1, [1]), list[str])


async def embedded() -> None:
    server = Server(["127.0.0.1", "::1"], 0, reuse_port=True, grace=1)
    assert_type(server.port, int | None)
    assert_type(server.listening.wait(5), bool)
    await server.serve(app)
    server.stop()
    Server(unix=Path("chat.sock"), mode=0o600)


async def tests(port: int) -> None:
    with FreshQueues(), RedisServer(port=6379, appendonly="yes") as redis, testing.Clock() as clock:
        await clock.advance(1.5)
        assert_type(redis.ask("PING"), str)
    async with FreshQueues("sqlite:test.db"), Proxy(port, lambda: 1000) as proxy:
        proxy.cut_after(10)
        url, params = f"{proxy.url}/events", {"channel": ["a", "b"]}
        async with Subscriber(url, ["sse", "long-poll"], params=params) as client:
            message = await client.next(timeout=1)
            assert_type(message, Message)
            assert_type((message.gap, message.end, message.id), tuple[bool, bool, str | None])
            assert_type(await client.take(2), list[Any])
            client.follow()
            await client.until(lambda client: client.heartbeats > 1)
            assert_type(await client.reconnect("websocket", reset=True), Subscriber)
            await client.assert_delivered(["a", {"n": 1}], allow_gap=False, channel="a")
            async for message in client:
                print(message.data)
    try:
        assert_type(await Subscriber(lambda: url).open(), Reply)
    except Ended as ended:
        print(ended.args)
    connection = await Connection.connect(port, receive_buffer=4096)
    assert_type(await until(lambda: connection.sock.fileno()), int)


if __name__ == "__main__":
    asyncio.run(publish())
    Server(port=0, xheaders=True, processes=4).run(app)
