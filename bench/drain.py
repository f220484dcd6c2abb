"""Does a server that stops lose events, block its event loop, or get all its clients back at once?

10 publishers publish as fast as they can to 2000 streams (``--quick``: 500), half of them SSE and
half NDJSON; after a second the server gets SIGTERM. Every accepted event must be in every stream
before the stream ends. The benchmark also measures the longest time for which the loop of the
server was blocked during the stop, how long the streams took to end, and the shortest and longest
reconnect delay that the server sent to clients.
"""

import asyncio
import json
import os
import re
import signal
from dataclasses import dataclass, field

from harness.contenders import Contender
from harness.process import Server, serving
from harness.report import Benchmark, Result

STOPPING = Contender("tatsumaki_py", "stopping.py")
PUBLISHERS = 10
SECONDS = 1.0
RETRY = re.compile(rb'"retry":(\d+)')


@dataclass
class Seen:
    """What the clients have received."""

    accepted: set[str] = field(default_factory=set)
    streams: list[bytes] = field(default_factory=list)


async def publish(port: int, number: int, seen: Seen) -> None:
    """Publish one event after another, until the server has ended."""
    writer = None
    count = 0
    while True:
        try:
            if writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            count += 1
            body = f'"<{number}-{count}>"'
            lines = ("POST /publish/room HTTP/1.1", "Host: x", "Content-Type: application/json")
            head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])
            writer.write((head + body).encode())
            answer = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"Content-Length: (\d+)", answer)
            assert length is not None
            await reader.readexactly(int(length[1]))
        except ConnectionRefusedError:
            return
        except (asyncio.IncompleteReadError, ConnectionError):
            writer = None
            continue
        if b" 200 " in answer:
            seen.accepted.add(body.strip('"'))
        if b"Connection: close" in answer:
            writer.close()
            writer = None


async def subscribe(port: int, transport: str, ready: asyncio.Semaphore, seen: Seen) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    query = f"transport={transport}"
    writer.write(f"GET /subscribe/room?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    ready.release()
    seen.streams.append(await reader.read(-1))
    writer.close()


async def clients(server: Server, streams: int) -> Seen:
    seen, ready = Seen(), asyncio.Semaphore(0)
    port = server.port
    tasks = []
    for number in range(streams):
        transport = ("sse", "ndjson")[number % 2]
        tasks.append(asyncio.ensure_future(subscribe(port, transport, ready, seen)))
        await ready.acquire()
    tasks += [asyncio.ensure_future(publish(port, number, seen)) for number in range(PUBLISHERS)]
    await asyncio.sleep(SECONDS)
    os.kill(server.pids[0], signal.SIGTERM)
    await asyncio.gather(*tasks)
    return seen


def measure(server: Server, streams: int) -> Result:
    seen = asyncio.run(clients(server, streams))
    lost = 0
    for stream in seen.streams:
        lost += len(seen.accepted - set(re.findall(r"<\d+-\d+>", stream.decode())))
    retries = sorted(int(found) for one in seen.streams for found in RETRY.findall(one))
    said = next(line for line in server.complaints().splitlines() if line.startswith("{"))
    return {
        "accepted": len(seen.accepted),
        "lost": lost,
        "stall": json.loads(said)["stall"],
        "took": json.loads(said)["took"],
        "first": retries[0],
        "last": retries[-1],
        "told": len(retries),
    }


if __name__ == "__main__":
    bench = Benchmark(__doc__ or "", files=11_000)
    streams = 500 if bench.quick else 2000

    def stop(contender: Contender) -> Result:
        with serving(contender) as server:
            return measure(server, streams)

    title = f"SIGTERM with {streams} streams and {PUBLISHERS} publishers"
    results = bench.compare(title, (STOPPING,), stop)
    bench.table(
        title,
        (
            "contender",
            "accepted",
            "not received",
            "longest stall ms",
            "streams end in s",
            "told to reconnect",
            "first, ms",
            "last, ms",
        ),
        [
            (
                name,
                f"{result['accepted']:,.0f}",
                f"{result['lost']:.0f}",
                f"{result['stall'] * 1e3:.1f}",
                f"{result['took']:.2f}",
                f"{result['told']:.0f}",
                f"{result['first']:.0f}",
                f"{result['last']:.0f}",
            )
            for name, result in results.items()
        ],
    )
    bench.end()
