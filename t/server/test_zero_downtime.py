"""A new process replaces an old one. Both use one listening socket, as with systemd, or one port
(`reuse_port`). No connection fails, and the subscribers of the old process get a gap.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections import Counter

import pytest
from support.program import ROOT
from support.subscriber import CLIENTS, STREAMS
from support.wire import read_reply, soon

from tatsumaki_py.testing import Connection, Ended

# Runs a program as systemd does: the socket is descriptor 3, for this process only.
ACTIVATED = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
PROGRAM = str(ROOT / "t/server/deployed.py")


class Deployment:
    """The processes of a program on one port.

    Args:
        shared: whether the processes share a listening socket. If not, each opens its own.
    """

    def __init__(self, shared):
        # Without `listen`, the socket only reserves the port.
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.sock.bind(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self._options, self._command = {}, [PROGRAM]
        if shared:
            self.sock.listen(1024)
            descriptor = self.sock.fileno()
            self._options["pass_fds"] = [descriptor]
            self._command = ["-c", ACTIVATED, str(descriptor), PROGRAM]
        self._told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._told.bind(f"\0tatsumaki-{self.port}")
        self._told.setblocking(False)
        self._environment = {"NOTIFY_SOCKET": f"@tatsumaki-{self.port}", "PORT": str(self.port)}
        self._processes = []

    async def replace(self):
        """Starts a process, and stops the previous one when the new one is ready."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *self._command),
            env=os.environ | self._environment,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            **self._options,
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


class Clients:
    """Clients that repeat requests, and count them in `count`."""

    def __init__(self, port):
        self.port = port
        self.count = Counter()
        self.processes = set()
        self.errors = []
        self.subscribers = [CLIENTS[transport](port) for transport in (*STREAMS, "long-poll")]

    async def run(self):
        """Runs all clients until it is cancelled."""
        work = [self.connect, self.connect, self.publish, self.publish_on_one_connection]
        follow = [self.throughout(self.follow, one) for one in self.subscribers]
        await asyncio.gather(*map(self.throughout, work), *follow)

    async def throughout(self, work, *args):
        while True:
            try:
                await work(*args)
            except (OSError, EOFError, AssertionError) as error:
                self.errors.append((work, args, error))

    async def connect(self):
        """Asks for the process id, on a new connection."""
        async with connected(self.port) as client:
            reply = await request(client, "GET /")
            self.processes.update(json.loads(reply.body))

    async def publish(self):
        async with connected(self.port) as client:
            await request(client, "POST /publish/room", b"1")
            self.count["published"] += 1

    async def publish_on_one_connection(self):
        """Publishes on one connection until the server closes it, or says that it will."""
        async with connected(self.port) as client:
            while not await is_closed(client):
                reply = await request(client, "POST /publish/room", b"2")
                self.count["published on one connection"] += 1
                if reply.headers.get("connection") == "close":
                    return

    async def follow(self, subscriber):
        try:
            await subscriber.start()
            while True:
                message = await subscriber.next()
                self.count[subscriber.transport, "gaps" if message.gap else "events"] += 1
        except Ended:
            pass  # and subscribes again


@contextlib.asynccontextmanager
async def connected(port):
    client = await Connection.connect(port)
    try:
        yield client
    finally:
        client.close()


async def request(client, line, body=b""):
    """Sends a request and returns the answer."""
    fields = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    await client.send(f"{line} HTTP/1.1\r\nHost: x\r\n{fields}\r\n".encode() + body)
    reply = await read_reply(client)
    assert reply.status == 200
    return reply


async def is_closed(client):
    """Whether the server has closed the connection, as a proxy checks it before it reuses one."""
    await asyncio.sleep(0)
    with contextlib.suppress(BlockingIOError):
        return client.sock.recv(1, socket.MSG_PEEK) == b""
    return False


@pytest.mark.parametrize("shared", [True, False], ids=["socket", "reuse_port"])
@pytest.mark.gen_test
async def test_two_restarts(shared):
    """Three processes answer in turn, and no request fails and no message is cut off."""
    deployment = Deployment(shared)
    with contextlib.closing(deployment):
        await deployment.replace()
        clients = Clients(deployment.port)
        running = asyncio.ensure_future(clients.run())
        for number in (1, 2, 3):
            await asyncio.sleep(0.05)
            await soon(lambda number=number: len(clients.processes) == number)
            if number < 3:
                await deployment.replace()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        for subscriber in clients.subscribers:
            subscriber.close()
        await deployment.stop()
    count, errors = clients.count, clients.errors
    if not shared:
        # Linux resets connections that arrive between the last `accept` and the `close`.
        errors = [one for one in errors if not isinstance(one[-1], ConnectionResetError)]
    assert errors == []
    assert len(clients.processes) == 3
    assert count["published"] > 0
    assert count["published on one connection"] > 0
    for subscriber in clients.subscribers:
        assert count[subscriber.transport, "events"] > 0
        # A long poll may reach the new process, the old one again, and so on.
        assert count[subscriber.transport, "gaps"] == 2 or not subscriber.streams
