"""A server of four processes. Its page shows the id of the process that answers.

usage: worked.py PORT turns | shared | own | kept

turns: `Server(processes=4)`. shared: the same, but each process accepts whenever it can. own: each
process binds a separate socket, with SO_REUSEPORT. kept: the parent binds these sockets and keeps
them open.
"""

import logging
import os
import signal
import socket
import sys

from tatsumaki_py import Application, Handler, MessageQueue, Server
from tatsumaki_py.message_queue.engine.memory import MemoryEngine
from tatsumaki_py.server.turns import TurnSocket

PROCESSES = 4


class Shared(MemoryEngine):
    """Only marked as shared, so that `Server` starts several processes. No event is published."""

    shared = True


class Process(Handler):
    def get(self) -> None:
        self.write(str(os.getpid()))

    post = get


app = Application([("/", Process)])


def listening(port: int, *, backlog: int = 4096) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    if backlog:
        sock.listen(backlog)
    return sock


class Forks:
    """Processes with one socket each. A process that ends is replaced."""

    def __init__(self, port: int, *, kept: bool) -> None:
        self._port = port
        # This socket does not listen: it only reserves the port.
        self._sockets = [listening(port, backlog=4096 if kept else 0) for _ in range(PROCESSES)]
        self._kept = kept
        self._numbers: dict[int, int] = {}
        self._stopping = False

    def run(self) -> None:
        signal.signal(signal.SIGTERM, self._stop)
        for number in range(PROCESSES):
            self._start(number)
        print("Listening", flush=True)
        while self._numbers:
            process, _ = os.wait()
            number = self._numbers.pop(process)
            if not self._stopping:
                self._start(number)

    def _stop(self, *_: object) -> None:
        self._stopping = True
        for process in self._numbers:
            os.kill(process, signal.SIGTERM)

    def _start(self, number: int) -> None:
        process = os.fork()
        if process:
            self._numbers[process] = number
            return
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sock = self._sockets[number] if self._kept else listening(self._port)
            # Passes the socket as systemd does.
            descriptor = os.dup(sock.fileno())
            os.dup2(descriptor, 3)
            os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
            Server().run(app)
        finally:
            os._exit(0)


if __name__ == "__main__":
    port, way = int(sys.argv[1]), sys.argv[2]
    logging.basicConfig(level=logging.CRITICAL)
    if way in ("own", "kept"):
        Forks(port, kept=way == "kept").run()
    else:
        if way == "shared":
            TurnSocket.accept = socket.socket.accept  # type: ignore[assignment]
        MessageQueue.configure(Shared())
        Server("127.0.0.1", port, processes=PROCESSES).run(app)
