"""Which functions of the package does an event pass through, from `publish` to the socket?

One event to one subscriber (`SubscribeHandler`, EventSource, a real socket), after a few others.
The walk begins with the call of `publish` and ends with the `send` of the event, in a later
iteration of the event loop. All functions called in between count, regardless of their
purpose. `sys.setprofile` reports them:

- calls: how often functions in the package's folder are called. Comprehensions and lambdas count as
  part of the function that contains them.
- files: where these functions are.
- returns: calls into a file that the walk had been in before and had left for another file.

PYTHONPATH=CHECKOUT measures the package of another checkout. Arguments are ignored.
"""

import asyncio
import logging
import socket
import sys
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import Any

from harness.machine import version
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

import tatsumaki_py
from tatsumaki_py import Application, MessageQueue, SubscribeHandler

PACKAGE = Path(tatsumaki_py.__file__).parent
BEFORE = 3
"""Events before the one that counts, so that nothing is done for the first time."""
SENDS = {"send", "sendmsg", "sendto"}


@dataclass(frozen=True)
class Call:
    depth: int
    file: str
    function: str


class Walk:
    """A profile function; `peer` is the address of the subscriber's end of the connection."""

    def __init__(self, peer: object) -> None:
        self.calls: list[Call] = []
        self.sent = False
        self._peer = peer
        self._depth = 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if self.sent:
            return
        if event == "c_call":
            self.sent = argument.__name__ in SENDS and self._is_to_peer(argument.__self__)
        elif event in ("call", "return"):
            path, code = Path(frame.f_code.co_filename), frame.f_code
            if not path.is_relative_to(PACKAGE) or code.co_name.startswith("<"):
                return
            if event == "call":
                file = str(path.relative_to(PACKAGE))
                self.calls.append(Call(self._depth, file, code.co_qualname))
                self._depth += 1
            else:
                self._depth -= 1

    def _is_to_peer(self, target: object) -> bool:
        return isinstance(target, socket.socket) and target.getpeername() == self._peer

    def returns(self) -> int:
        files = [file for file, _ in groupby(call.file for call in self.calls)]
        return len(files) - len(set(files))


async def walk() -> None:
    server = HTTPServer(Application([(r"/events/(\w+)", SubscribeHandler)]))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    reader, writer = await asyncio.open_connection(*sockets[0].getsockname())
    writer.write(b"GET /events/room HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    queue = MessageQueue.instance("room")
    for number in range(BEFORE):
        queue.publish({"number": number})
        await reader.readuntil(b'"number":%d' % number)
    taken = Walk(writer.get_extra_info("sockname"))
    sys.setprofile(taken)
    queue.publish({"number": BEFORE})
    returned = len(taken.calls)
    await reader.readuntil(b'"number":%d' % BEFORE)
    sys.setprofile(None)
    if not taken.sent:
        sys.exit(f"the event arrived without a call of {', '.join(sorted(SENDS))}")

    for call in taken.calls:
        print(f"{'  ' * call.depth}{call.file} {call.function}")
    files = {call.file for call in taken.calls}
    functions = {(call.file, call.function) for call in taken.calls}
    print(
        f"\n{len(taken.calls)} calls of {len(functions)} functions in {len(files)} files, "
        f"{taken.returns()} returns to a file already left; "
        f"{returned} of the calls before `publish` returned"
    )


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    python = ".".join(map(str, sys.version_info[:3]))
    print(f"# {__doc__.splitlines()[0]}\n\nPython {python}, {version('tornado')}, {PACKAGE}\n")
    asyncio.run(walk())
