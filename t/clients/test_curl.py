"""curl -N, in a loop as users write it."""

import json

import pytest
from support.lossy import misses_nothing
from support.outside import find_program, running


@pytest.fixture
def curl():
    """`curl(*args)` runs curl; see `running`."""
    path = find_program("curl", "curl")
    return lambda *args: running(path, "-N", "-s", *args, env={"PATH": ""})


def header(name, value):
    return ("-H", f"{name}: {value}") if value else ()


async def sse(curl, url):
    cursor = ""
    while True:
        accept = header("Accept", "text/event-stream")
        async with curl(*accept, *header("Last-Event-ID", cursor), url) as process:
            type_, data = "message", []
            async for line in process.stdout:
                name, _, value = line.decode(errors="replace").rstrip("\n").partition(": ")
                if name == "id":
                    id = value
                elif name == "event":
                    type_ = value
                elif name == "data":
                    data.append(value)
                elif line == b"\n":
                    cursor = id
                    if type_ == "message":
                        yield json.loads("\n".join(data))
                    type_, data = "message", []


async def ndjson(curl, url):
    cursor = ""
    while True:
        accept = header("Accept", "application/x-ndjson")
        async with curl(*accept, *header("Last-Event-ID", cursor), url) as process:
            async for line in process.stdout:
                if line.endswith(b"\n"):
                    message = json.loads(line)
                    cursor = message["id"] or cursor
                    if "data" in message:
                        yield message["data"]


async def long_poll(curl, url):
    cursor = ""
    while True:
        async with curl("-i", *header("Last-Event-ID", cursor), url) as process:
            output = await process.stdout.read()
        head, _, body = output.partition(b"\r\n\r\n")
        try:
            events = json.loads(body)
        except ValueError:
            # The answer was cut.
            continue
        for line in head.decode().splitlines():
            if line.lower().startswith("last-event-id: "):
                cursor = line.partition(": ")[2]
        for event in events:
            yield event


@pytest.mark.parametrize("subscribe", [sse, ndjson, long_poll])
@pytest.mark.gen_test
async def test_misses_nothing(queue, proxy, url, curl, subscribe):
    """The client gets all events once and in order, though its connection is cut."""
    await misses_nothing(queue, proxy, subscribe(curl, url))
    assert proxy.accepted >= 3


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson"])
@pytest.mark.gen_test
async def test_regular_end(queue, url, curl, accept):
    """curl exits with 0 when the server ends the stream."""
    async with curl(*header("Accept", accept), url) as process:
        queue.publish({"n": 1})
        while b'"n":1' not in await process.stdout.readline():
            pass
        queue.disconnect()
        assert await process.wait() == 0


@pytest.mark.gen_test
async def test_cut_stream(proxy, queue, url, curl):
    """curl exits with an error when the connection is cut, so a script can tell the difference."""
    async with curl(*header("Accept", "text/event-stream"), url) as process:
        queue.publish({"n": 1})
        while b'"n":1' not in await process.stdout.readline():
            pass
        proxy.cut()
        assert await process.wait() in (18, 56)
