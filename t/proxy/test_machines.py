"""Two machines share one Redis, as the page describes: a client may reach either of them with each
request, and if one fails, the other continues.
"""

import asyncio
import contextlib
import os
import re
import signal
import sys

import pytest
from support.haproxy import LINES
from support.haproxy import MACHINES as HAPROXY
from support.nginx import MACHINES, PAGE, with_upstream
from support.program import free_port
from support.subscriber import CLIENTS
from support.wire import read_reply

from tatsumaki_py.testing import Connection, Ended

(PROGRAM,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
LOST = (Ended, EOFError, OSError)


@pytest.fixture
def http_server():
    """This process has no server."""


@pytest.fixture
def machines(popen, tmp_path, redis_server):
    """Two servers that run the page's program with two processes each: `[(process, port), ...]`."""
    (tmp_path / "app.py").write_text(PROGRAM)
    found = []
    for _ in range(2):
        port = free_port()
        variables = {"TATSUMAKI_ENGINE": redis_server.url, "TATSUMAKI_PROCESSES": "2"}
        variables |= {"TATSUMAKI_HOST": "127.0.0.1", "TATSUMAKI_PORT": str(port)}
        command = (sys.executable, tmp_path / "app.py")
        process = popen(*command, environment=variables, start_new_session=True)
        found.append((process, port))
    for process, port in found:
        assert (
            process.stdout.readline() == f"Listening on http://127.0.0.1:{port}/ (Ctrl-C stops)\n"
        )
    yield found
    for process, _ in found:
        # End the workers that are left of a killed server.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(params=["nginx", "haproxy"])
def port(request, machines):
    """The port of the proxy."""
    if request.param == "nginx":
        lines = with_upstream(MACHINES)
    else:
        single = "    server chat 127.0.0.1:5000\n"
        assert LINES.count(single) == 2
        more = HAPROXY.partition("\n")[2]
        lines = LINES.replace(single, more)
    for number, (_, own) in enumerate(machines, 1):
        lines = lines.replace(f"10.0.0.{number}:5000", f"127.0.0.1:{own}")
    assert "10.0.0" not in lines
    # Tests need not wait for seconds.
    lines = lines.replace("inter 2s", "inter 100ms").replace("connect 5s", "connect 200ms")
    if request.param == "nginx":
        return request.getfixturevalue("run_nginx")(lines)
    return request.getfixturevalue("run_haproxy")(lines, retries=3)


async def publish(port, number):
    """Publish the number; try again if the request reached the machine that was killed."""
    status = 502
    while status == 502:
        client = await Connection.connect(port)
        head = "POST /publish/room HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        head += f"Idempotency-Key: {number}\r\nContent-Length: 1\r\n\r\n"
        await client.send(f"{head}{number}".encode())
        status = (await read_reply(client)).status
        client.close()
    assert status == 200


async def numbers(client, last):
    """Read a client's events up to `last`. The client reconnects if its stream ends."""
    found = []
    while not found or found[-1] < last:
        try:
            message = await client.next()
            assert not message.gap
            found.append(message.data)
        except LOST:
            await asyncio.sleep(0.05)
            await client.open()
    return found


@pytest.mark.gen_test
async def test_a_machine_fails(machines, port):
    """An event that is published to one machine reaches the streams of both. If one is killed with
    its workers, the other answers, and each client gets each event once and in order.
    """
    clients = [CLIENTS["sse"](port) for _ in range(8)]
    for client in clients:
        await client.open()
    for number in range(4):
        await publish(port, number)
    for client in clients:
        assert await numbers(client, 3) == [0, 1, 2, 3]
    os.killpg(machines[0][0].pid, signal.SIGKILL)
    machines[0][0].wait()
    for number in range(4, 8):
        await publish(port, number)
    async with asyncio.timeout(10):
        for client in clients:
            assert await numbers(client, 7) == [4, 5, 6, 7]
    for client in clients:
        client.close()
