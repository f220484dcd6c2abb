"""What does a request cost, on the fast HTTP server and on Tornado's?

Long polls, connections and reconnections of many clients at once, plain requests, memory, and a
burst of POSTs: each is measured by the benchmark of that name, with all contenders. At the end, it
prints one table of all results, as in docs/guide/performance.md, and the goals. A ratio of more
than 1 favours tatsumaki_py.

Name measures to run only these: request_path.py long-poll memory
"""

import importlib.util
import sys
from collections.abc import Callable, Mapping

import connect_storm
import fan_out_burst
import long_poll
import memory
import plain_request
import reconnect_storm
from harness import delivery
from harness.contenders import (
    AIOHTTP,
    AIOHTTP_POLL,
    BUN_WEBSOCKET,
    KEPT_ALIVE,
    LONG_POLLS,
    NCHAN,
    NCHAN_POLL,
    PLAIN,
    PLAIN_AIOHTTP,
    PLAIN_TATSUMAKI,
    PLAIN_TORNADO,
    RESUMING,
    SSE_STARLETTE,
    SUBSCRIBE_POLL,
    SUBSCRIBE_SSE,
    SUBSCRIBE_WEBSOCKET,
    TATSUMAKI,
    TATSUMAKI_CURSOR,
    TORNADO,
    TORNADO_ON_SERVER,
    TORNADO_POLL,
    Contender,
    on_tornado,
)
from harness.goals import Goals
from harness.report import Benchmark, Result

Results = dict[str, Result]

COLUMNS = (
    "tatsumaki_py",
    "on Tornado's HTTP server",
    "Tornado",
    "aiohttp",
    "nchan",
    "another",
)
UNITS = {
    "rate": "per second",
    "cpu": "microseconds of CPU each",
    "seconds": "seconds until all",
    "bytes": "KB each",
}
KEYS = {"rate": "rate", "cpu": "CPU", "seconds": "time", "bytes": "memory"}


class Summary:
    """Collects the results, and prints them as one table."""

    def __init__(self) -> None:
        self.goals = Goals()
        self._rows: list[tuple[str, ...]] = []

    def add(
        self, what: str, results: Results, ours: Contender, others: Mapping[str, Contender]
    ) -> None:
        """A row for each value that was measured: the figure of `ours`, and the figures of
        `others`, by the names of their columns, with how many times better `ours` is.
        """
        if ours.name not in results:
            return
        for key in [key for key in UNITS if key in results[ours.name]]:
            cells = {COLUMNS[0]: _figure(key, results[ours.name][key])}
            for column, other in others.items():
                if other.name in results:
                    figure = _figure(key, results[other.name][key])
                    name = f"{other.name}: " if column == "another" else ""
                    cells[column] = f"{name}{figure} ({times(results, ours, other, key):.2f} x)"
            row = (cells.get(column, "") for column in COLUMNS)
            self._rows.append((f"{what}: {UNITS[key]}", *row))

    def at_least(
        self, what: str, results: Results, ours: Contender, other: Contender, goal: float
    ) -> None:
        """A goal for how many times better `ours` is than `other`, in each value measured."""
        if ours.name in results and other.name in results:
            for key in [key for key in UNITS if key in results[ours.name]]:
                measure = f"{what}, compared with {other.name}: {KEYS[key]}"
                self.goals.at_least(measure, times(results, ours, other, key), goal)

    def kilobytes(self, what: str, results: Results, ours: Contender, goal: float) -> None:
        if ours.name in results:
            self.goals.at_most(f"{what}: KB", results[ours.name]["bytes"] / 1000, goal)

    def table(self, bench: Benchmark) -> None:
        print(f"## The request path, median of {bench.rounds} rounds\n")
        rows = [("", *COLUMNS), ("---",) * (len(COLUMNS) + 1), *self._rows]
        print(*(f"| {' | '.join(row)} |" for row in rows), sep="\n", end="\n\n")
        self.goals.table(bench)


def times(results: Results, ours: Contender, other: Contender, key: str) -> float:
    """How many times better `ours` is. Lower values are better, except for rates."""
    mine, its = results[ours.name][key], results[other.name][key]
    return mine / its if key == "rate" else its / mine


def _figure(key: str, value: float) -> str:
    if key == "bytes":
        return f"{value / 1000:.1f}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def long_polls(bench: Benchmark, summary: Summary) -> None:
    print(delivery.NOTE)
    results = long_poll.compare(bench, LONG_POLLS)
    others = {"Tornado": TORNADO_POLL, "aiohttp": AIOHTTP_POLL, "nchan": NCHAN_POLL}
    subscribe, chat = "long poll, SubscribeHandler", "long poll, the chat's Handler"
    for what, ours in ((subscribe, SUBSCRIBE_POLL), (chat, TATSUMAKI)):
        summary.add(what, results, ours, {COLUMNS[1]: on_tornado(ours), **others})
    summary.at_least(subscribe, results, SUBSCRIBE_POLL, AIOHTTP_POLL, 0.9)
    summary.at_least(chat, results, TATSUMAKI, TORNADO_POLL, 2.0)
    summary.at_least(chat, results, TATSUMAKI, AIOHTTP_POLL, 0.6)
    on_slow = f"{chat}, {COLUMNS[1]}"
    summary.at_least(on_slow, results, on_tornado(TATSUMAKI), TORNADO_POLL, 1.0)


def connecting(bench: Benchmark, summary: Summary) -> None:
    ours = SUBSCRIBE_SSE, on_tornado(SUBSCRIBE_SSE)
    others = {"Tornado": TORNADO, "aiohttp": AIOHTTP, "nchan": NCHAN}
    results = connect_storm.compare(bench, (*ours, *others.values()))
    what = "connect storm, SubscribeHandler, EventSource"
    summary.add(what, results, ours[0], {COLUMNS[1]: ours[1], **others})
    summary.at_least(what, results, ours[0], AIOHTTP, 1.0)
    summary.at_least(f"{what}, {COLUMNS[1]}", results, ours[1], TORNADO, 1.0)


def reconnecting(bench: Benchmark, summary: Summary) -> None:
    results = reconnect_storm.compare(bench, RESUMING)
    others = {"Tornado": TORNADO, "nchan": NCHAN, "another": SSE_STARLETTE}
    subscribe = "reconnect storm, SubscribeHandler, EventSource"
    chat = "reconnect storm, the chat's Handler"
    for what, ours in ((subscribe, SUBSCRIBE_SSE), (chat, TATSUMAKI_CURSOR)):
        summary.add(what, results, ours, {COLUMNS[1]: on_tornado(ours), **others})
        summary.at_least(what, results, ours, NCHAN, 1.0)


def plain(bench: Benchmark, summary: Summary) -> None:
    others = {"Tornado": PLAIN_TORNADO, "aiohttp": PLAIN_AIOHTTP}
    goals = {"Hello World": 1.8, "JSON list": 1.8, "template": 1.5}
    for title, path in plain_request.PATHS.items():
        results = plain_request.compare(bench, title, path, PLAIN)
        handler, application = f"{title}, Handler", f"{title}, Tornado's Application on Server"
        for what, ours in ((handler, PLAIN_TATSUMAKI), (application, TORNADO_ON_SERVER)):
            summary.add(what, results, ours, {COLUMNS[1]: on_tornado(ours), **others})
        summary.at_least(application, results, TORNADO_ON_SERVER, PLAIN_TORNADO, goals[title])
        on_slow = f"{handler}, {COLUMNS[1]}"
        summary.at_least(on_slow, results, on_tornado(PLAIN_TATSUMAKI), PLAIN_TORNADO, 0.98)


def memories(bench: Benchmark, summary: Summary) -> None:
    polls = memory.compare(bench, "waiting long polls", LONG_POLLS)
    others = {"Tornado": TORNADO_POLL, "aiohttp": AIOHTTP_POLL, "nchan": NCHAN_POLL}
    subscribe, chat = "waiting long poll, SubscribeHandler", "waiting long poll, the chat's Handler"
    for what, ours in ((subscribe, SUBSCRIBE_POLL), (chat, TATSUMAKI)):
        summary.add(what, polls, ours, {COLUMNS[1]: on_tornado(ours), **others})
        summary.kilobytes(what, polls, ours, 7)

    others = {"Tornado": TORNADO, "aiohttp": AIOHTTP, "nchan": NCHAN}
    for kind in (
        "connections before their first request",
        "kept-alive connections after one answer",
    ):
        idle = memory.compare(bench, kind, KEPT_ALIVE)
        summary.add(kind, idle, TATSUMAKI, {COLUMNS[1]: on_tornado(TATSUMAKI), **others})
        summary.kilobytes(kind, idle, TATSUMAKI, 4)

    ours, slow = SUBSCRIBE_SSE, on_tornado(SUBSCRIBE_SSE)
    streams = memory.compare(bench, "idle streams", (ours, slow, *others.values()))
    summary.add("idle stream, SubscribeHandler", streams, ours, {COLUMNS[1]: slow, **others})


def burst(bench: Benchmark, summary: Summary) -> None:
    ways = {"EventSource": SUBSCRIBE_SSE, "WebSocket": SUBSCRIBE_WEBSOCKET}
    ours = tuple(ways.values())
    results = fan_out_burst.compare_posted(bench, (*ours, *map(on_tornado, ours), BUN_WEBSOCKET))
    for way, contender in ways.items():
        what = f"{fan_out_burst.WINDOW} POSTs in flight, SubscribeHandler, {way}"
        others = {COLUMNS[1]: on_tornado(contender), "another": BUN_WEBSOCKET}
        summary.add(what, results, contender, others)
        summary.at_least(what, results, contender, BUN_WEBSOCKET, 0.5)


MEASURES: dict[str, Callable[[Benchmark, Summary], None]] = {
    "long-poll": long_polls,
    "connect-storm": connecting,
    "reconnect-storm": reconnecting,
    "plain-request": plain,
    "memory": memories,
    "burst": burst,
}

if __name__ == "__main__":
    if not importlib.util.find_spec("httptools"):
        sys.exit("httptools is missing, which the fast HTTP server needs: make bench-peers")
    bench = Benchmark(__doc__, files=11_000, measures=tuple(MEASURES))
    summary = Summary()
    for name in bench.measures:
        MEASURES[name](bench, summary)
    summary.table(bench)
    bench.end()
