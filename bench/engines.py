"""What does an event cost with Redis, or with SQLite?

Fan-out to 1000 streams of one process, with one event in flight and with 64: the in-memory engine,
Redis with one process and with two that share the streams, nchan and python-socketio with the same
Redis. Then the time from publish to delivery with one stream, publishing without a listener, and
the number of commands that Redis gets while 10 000 channels, each with a named client, are idle.

CPU times are the lowest of the rounds, because other processes can only raise them. The CPU times
of the servers and of Redis are counted separately. Two processes share the one core of a server.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

from harness.contenders import NCHAN, SUBSCRIBE_SSE, WEBSOCKET, Contender
from harness.goals import Goals
from harness.process import run_alone, serving
from harness.redis_server import RedisServer, redis_server
from harness.report import Benchmark, Result

CLIENTS, WINDOW, IDLE = 1000, 64, 10_000
PUSH = replace(SUBSCRIBE_SSE, name="memory", server="push.py", publish="/publish/room")
SOCKETIO = Contender(
    "python-socketio, Redis",
    "socketio_uvicorn.py",
    ("socketio", "uvicorn", "websockets"),
    stream="/socket.io/?EIO=4&transport=websocket",
    headers=WEBSOCKET,
    say="40",
    ready='40{"sid"',
)


class Engines:
    """The contenders, with a Redis for those that use one."""

    def __init__(self, bench: Benchmark, redis: RedisServer) -> None:
        self.bench = bench
        self.redis = redis
        self.goals = Goals()
        self.memory = replace(PUSH, engine="memory:")
        self.sqlite = replace(PUSH, name="SQLite", engine="sqlite:events.db")
        self.shared = replace(PUSH, name="Redis", engine=redis.url)
        self.two = replace(self.shared, name="Redis, two processes", arguments=("2",))
        self.nchan = replace(NCHAN, name="nchan, Redis", engine=redis.url)
        self.socketio = replace(SOCKETIO, engine=redis.url)

    def fan_out(self, title: str, window: int, least: float) -> None:
        everybody = (self.memory, self.shared, self.two, self.nchan, self.socketio)
        results = self._deliveries(title, everybody, CLIENTS, window)
        self._compare(title, results, self.memory, least)
        self._compare(title, results, self.nchan, 1.0)
        self._compare(title, results, self.socketio, 5.0)
        # With several publishers, two processes send fewer events at a time.
        self._compare_two(title, results, 1.15 if window == 1 else None)

    def lists(self) -> None:
        title = f"{CLIENTS} streams, {WINDOW} events in one POST"
        engines = (self.memory, self.shared, self.two)
        results = self._deliveries(title, engines, CLIENTS, WINDOW, list=1)
        self._compare(title, results, self.memory, 0.7)
        self._compare_two(title, results, 1.15)

    def _compare(
        self, title: str, results: dict[str, Result], other: Contender, goal: float
    ) -> None:
        ours, theirs = results.get(self.shared.name), results.get(other.name)
        if ours and theirs:
            what = f"{title}, Redis against {other.name}"
            self.goals.at_least(f"{what}: rate", ours["rate"] / theirs["rate"], goal)
            self.goals.at_least(f"{what}: CPU", theirs["cpu"] / ours["cpu"], goal)

    def _compare_two(self, title: str, results: dict[str, Result], goal: float | None) -> None:
        one, two = results.get(self.shared.name), results.get(self.two.name)
        if one and two:
            what = f"{title}, CPU of two processes against one"
            self.goals.at_most(what, two["cpu"] / one["cpu"], goal)

    def one_stream(self) -> None:
        engines = (self.memory, self.sqlite, self.shared)
        results = self._deliveries("One stream, one event in flight", engines, 1, 1)
        if self.memory.name in results and self.shared.name in results:
            more = results[self.shared.name]["p50"] - results[self.memory.name]["p50"]
            what = "publish to delivery, more than with the in-memory engine, ms"
            self.goals.at_most(what, more * 1e3, 1.0)
        self._deliveries(f"One stream, {WINDOW} events in flight", engines, 1, WINDOW)

    def publishing(self) -> None:
        title = "Publishing without a listener"
        contenders = [
            _alone(engine, flight, channels)
            for engine in (self.memory, self.sqlite, self.shared)
            for flight, channels in ((1, 1), (WINDOW, 1), (WINDOW, WINDOW))
        ]
        bare = replace(
            _alone(self.shared, WINDOW, WINDOW),
            name=f"redis-py pipelines of {WINDOW} calls, {WINDOW} channels",
            server="redis_pipeline.py",
        )
        results = self.bench.compare(title, (*contenders, bare), self._publish, ("cpu", "redis"))
        self.bench.table(
            title,
            ("engine", "events/s", "spread", "CPU microseconds", "of Redis"),
            [
                (
                    name,
                    f"{result['rate']:,.0f}",
                    f"{result['spread']:.0%}",
                    f"{result['cpu']:.1f}",
                    f"{result['redis']:.1f}",
                )
                for name, result in results.items()
            ],
        )
        for one, other, against, goal in (
            (_alone(self.sqlite, 1, 1), _alone(self.memory, 1, 1), "memory", None),
            (_alone(self.sqlite, WINDOW, 1), _alone(self.memory, WINDOW, 1), "memory", 0.3),
            (_alone(self.shared, WINDOW, WINDOW), bare, "redis-py pipelines", 0.6),
        ):
            if one.name in results and other.name in results:
                ratio = results[one.name]["rate"] / results[other.name]["rate"]
                self.goals.at_least(f"publishing, {one.name}, against {against}", ratio, goal)

    def _publish(self, contender: Contender) -> Result:
        seconds = 0.5 if self.bench.quick else 2.0
        self.redis.empty()
        before = self.redis.cpu()
        arguments = (*contender.arguments, seconds)
        result = run_alone(contender.server, *arguments, engine=contender.engine)
        result["redis"] = (self.redis.cpu() - before) / result.pop("published") * 1e6
        return result

    def idle(self) -> None:
        """Runs once, because one round must last for several of the engine's intervals."""
        seconds = 45 if self.bench.quick else 90

        def measure(contender: Contender) -> Result:
            self.redis.empty()
            with (
                serving(contender) as server,
                self.bench.generator.holding(
                    server,
                    clients=IDLE,
                    path="/subscribe/room{id}?client_id=c{id}",
                    header=contender.headers,
                    deadline=seconds + 150,
                ),
            ):
                server.settle(timeout=60)  # until all channels are loaded
                commands, cpu = self.redis.commands(), server.cpu()
                time.sleep(seconds)
                return {
                    "commands": (self.redis.commands() - commands) / seconds,
                    "cpu": (server.cpu() - cpu) / seconds,
                }

        title = f"{IDLE} idle channels"
        for result in self.bench.compare(title, (self.shared,), measure, rounds=1).values():
            self.goals.at_most(f"Redis commands per second, {title}", result["commands"], 500)
            busy = f"CPU of the process, {title}, per cent"
            self.goals.at_most(busy, result["cpu"] * 100, None)

    def _deliveries(
        self,
        title: str,
        contenders: Sequence[Contender],
        clients: int,
        window: int,
        **options: int,
    ) -> dict[str, Result]:
        def measure(contender: Contender) -> Result:
            self.redis.empty()
            with serving(contender) as server:
                if contender.arguments:
                    server.settle()  # until all of its processes listen
                result = self.bench.generator.run(
                    server,
                    mode="stream",
                    clients=clients,
                    window=window,
                    path=contender.stream,
                    publish=contender.publish,
                    header=contender.headers,
                    say=contender.say,
                    ready=contender.ready,
                    beside=self.redis.pid,
                    seconds=0.5 if self.bench.quick else 2.0,
                    **options,
                )
            deliveries = result["deliveries"]
            return {
                "rate": deliveries / result["seconds"],
                "cpu": result["server_cpu"] / deliveries * 1e6,
                "redis": result["beside_cpu"] / deliveries * 1e6,
                "p50": result["p50"],
                "p99": result["p99"],
            }

        results = self.bench.compare(title, contenders, measure, ("cpu", "redis", "p50"))
        self.bench.table(
            title,
            (
                "engine",
                "deliveries/s",
                "spread",
                "CPU microseconds",
                "of Redis",
                "p50 ms",
                "p99 ms",
            ),
            [
                (
                    name,
                    f"{result['rate']:,.0f}",
                    f"{result['spread']:.0%}",
                    f"{result['cpu']:.2f}",
                    f"{result['redis']:.2f}",
                    f"{result['p50'] * 1e3:.2f}",
                    f"{result['p99'] * 1e3:.2f}",
                )
                for name, result in results.items()
            ],
        )
        return results


def _alone(contender: Contender, flight: int, channels: int) -> Contender:
    """A process that only publishes."""
    return replace(
        contender,
        name=f"{contender.name}, {flight} in flight to {channels} channel{'s' * (channels > 1)}",
        server="publishing.py",
        arguments=(str(flight), str(channels)),
    )


if __name__ == "__main__":
    bench = Benchmark(__doc__, files=11_000)
    with redis_server() as redis:
        engines = Engines(bench, redis)
        engines.fan_out(f"{CLIENTS} streams, one event in flight", 1, 0.8)
        engines.fan_out(f"{CLIENTS} streams, {WINDOW} events in flight", WINDOW, 0.7)
        engines.lists()
        engines.one_stream()
        engines.publishing()
        engines.idle()
        engines.goals.table(bench)
    bench.end()
