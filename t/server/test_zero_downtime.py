"""A new process takes over from an old one by a listening socket that both have, as systemd hands
it to them: no connection fails, and who followed the old one is told of the gap.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from collections import Counter

import pytest
from support.program import ROOT
from support.raw import RawClient
from support.subscriber import CLIENTS, STREAMS, Ended
from support.wire import read_reply
from tornado.netutil import bind_sockets

# Runs a program with the socket as systemd does: it is descriptor 3, and for this process only.
ACTIVATED = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class Deployment:
    """The processes of a program that share one listening socket."""

    def __init__(self):
        (self.sock,) = bind_sockets(0, "127.0.0.1", backlog=1024)
        self.port = self.sock.getsockname()[1]
        self._told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._told.bind(f"\0tatsumaki-{self.port}")
        self._told.setblocking(False)
        self._processes = []

    async def replace(self):
        """Starts a process, and stops the one before it when the new one is ready."""
        descriptor = self.sock.fileno()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", ACTIVATED, str(descriptor), ROOT / "t/server/deployed.py"),
            pass_fds=[descriptor],
            env=os.environ | {"NOTIFY_SOCKET": f"@tatsumaki-{self.port}"},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        self._processes.append(process)
        while await asyncio.get_running_loop().sock_recv(self._told, 1000) != b"READY=1":
            pass
        if len(self._processes) > 1:
            await self.stop()

    async def stop(self):
        """Stops the oldest process."""
        process = self._processes[0]
        process.send_signal(signal.SIGTERM)
        _, log = await process.communicate()
        del self._processes[0]
        assert process.returncode == 0
        assert [line for line in log.decode().splitlines() if " INFO " not in line] == []

    def close(self):
        for process in self._processes:
            process.kill()
        self.sock.close()
        self._told.close()


@pytest.fixture
def deployment(io_loop):
    deployment = Deployment()
    yield deployment
    deployment.close()


async def request(port, line, body=b""):
    """The JSON of the answer to a connection of its own."""
    client = await RawClient.connect(port)
    try:
        fields = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        await client.send(f"{line} HTTP/1.1\r\nHost: x\r\n{fields}\r\n".encode() + body)
        reply = await read_reply(client)
        assert reply.status == 200
        return json.loads(reply.body)
    finally:
        client.close()


@pytest.mark.gen_test
async def test_two_restarts(deployment):
    """Three processes answer, and no follower loses its connection in the middle of an answer."""
    await deployment.replace()
    port, count, errors = deployment.port, Counter(), []

    async def connect():
        (process,) = await request(port, "GET /")
        count[process] += 1

    async def publish():
        count["published"] += 1
        await request(port, "POST /publish/room", b'{"n": %d}' % count["published"])

    async def follow(subscriber):
        try:
            await subscriber.start()
            while True:
                message = await subscriber.read()
                count[subscriber.transport, "gaps" if message.gap else "events"] += 1
        except Ended:
            pass  # and comes again

    async def throughout(work, *args):
        while True:
            try:
                await work(*args)
            except (OSError, EOFError, AssertionError) as error:
                errors.append((work, args, error))

    subscribers = [CLIENTS[transport](port) for transport in (*STREAMS, "long-poll")]
    tasks = [throughout(connect), throughout(connect), throughout(publish)]
    tasks = asyncio.gather(*tasks, *(throughout(follow, one) for one in subscribers))
    for _ in range(2):
        await asyncio.sleep(0.05)
        await deployment.replace()
    await asyncio.sleep(0.05)
    tasks.cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks
    for subscriber in subscribers:
        subscriber.leave()
    await deployment.stop()
    assert errors == []
    assert len([process for process in count if isinstance(process, int)]) == 3
    for subscriber in subscribers:
        assert count[subscriber.transport, "events"] > 0
        # A long poll may come to the new process, to the old one once more, and so on.
        assert count[subscriber.transport, "gaps"] == 2 or not subscriber.streams
