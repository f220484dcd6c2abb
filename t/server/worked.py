"""A server with several processes, and an engine that claims to be shared."""

import asyncio
import os
import random
import sys
import time

from tatsumaki_py import Application, Handler, MessageQueue, Server, SubscribeHandler
from tatsumaki_py.message_queue.engine.memory import MemoryEngine


def say(line):
    """Prints a line in one write, so that the lines of several processes do not mix."""
    os.write(1, f"{line}\n".encode())


class Shared(MemoryEngine):
    shared = True

    async def close(self):
        say("engine closed")


class Worker(Handler):
    """Answers with the number of the worker, its process id, a random number and the port."""

    def get(self):
        self.write([os.environ["TATSUMAKI_WORKER"], os.getpid(), random.random(), server.port])


class Sleeps(Handler):
    async def get(self):
        self.write("a")
        await self.flush()
        await asyncio.sleep(60)


class Ends(Handler):
    async def get(self):
        self.write("a")
        await self.flush()
        await asyncio.sleep(0.4)
        self.write("end")


class Blocks(Handler):
    def get(self):
        time.sleep(60)


class Stops(Handler):
    def get(self):
        server.stop()


MessageQueue.configure(Shared())
other_loop = asyncio.new_event_loop()  # A loop other than the one that serves.
app = Application(
    [
        ("/", Worker),
        ("/sleeps", Sleeps),
        ("/ends", Ends),
        ("/blocks", Blocks),
        ("/stops", Stops),
        (r"/events/(\w+)", SubscribeHandler),
    ]
)
server = Server()


@app.on_start
async def starts():
    number = os.environ["TATSUMAKI_WORKER"]
    if os.path.exists(f"fails-{number}"):
        await asyncio.sleep(0.1)
        raise ValueError("no such\nhost")


@app.on_stop
def stops():
    say(f"stopped {os.environ['TATSUMAKI_WORKER']}")


if __name__ == "__main__":
    sys.exit(server.run(app))
