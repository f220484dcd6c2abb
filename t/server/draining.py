"""A server that is stopped while requests of every kind are in flight. GRACE in the environment is
the argument `grace` of `Server`.
"""

import asyncio
import os
import time

from tatsumaki_py import (
    Application,
    Handler,
    MessageQueue,
    PublishHandler,
    Server,
    SubscribeHandler,
)


class Slow(Handler):
    """Answers after ``seconds``. With ``begin``, the first bytes are sent before that."""

    async def get(self):
        if self.request.param("begin"):
            self.write("begun ")
            await self.flush()
        await asyncio.sleep(float(self.request.param("seconds")))
        self.write("done")


class Publishes(Slow):
    async def get(self):
        await super().get()
        MessageQueue.instance("room").publish("the last word")


class Report(Handler):
    async def get(self):
        for number in range(int(self.request.param("lines"))):
            await self.stream_write(f"{number}\n")
            await asyncio.sleep(0.02)


class Upload(Handler):
    def post(self):
        self.write(f"{len(self.request.body)} bytes")


class Thread(Handler):
    async def get(self):
        await asyncio.to_thread(time.sleep, 60)


class Blocking(Handler):
    def get(self):
        time.sleep(60)


app = Application(
    [
        ("/slow", Slow),
        ("/publishes", Publishes),
        ("/report", Report),
        ("/upload", Upload),
        ("/blocking", Blocking),
        ("/thread", Thread),
        (r"/events/(\w+)", SubscribeHandler),
        (r"/publish/(\w+)", PublishHandler),
    ]
)
app.on_stop(lambda: print("stopped", flush=True))

if __name__ == "__main__":
    Server(grace=float(os.environ.get("GRACE", "5"))).run(app)
