"""A server in a separate thread, for tests that have no loop: the tests of pages in Chromium."""

import asyncio
import threading

from tornado.netutil import bind_sockets

from tatsumaki_py import MessageQueue
from tatsumaki_py.server.http_server import LIMITS, StrictServer
from tatsumaki_py.testing import Proxy


class Background:
    """Serves an application behind a `Proxy` until `stop`.

    Each method does its work in the server's thread, and returns when the work is done.
    """

    def __init__(self, app):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.run(self._start(app))
        self.url = f"http://127.0.0.1:{self.proxy.port}"

    def run(self, coroutine):
        """The result of `coroutine`."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def call(self, function, *args):
        """The result of `function(*args)`."""

        async def call():
            return function(*args)

        return self.run(call())

    def publish(self, *events, channel="room"):
        """Publishes events one by one."""

        async def publish():
            for event in events:
                await MessageQueue.instance(channel).publish(event)

        self.run(publish())

    def disconnect(self, channel="room"):
        """Ends the streams of a channel normally."""
        self.call(lambda: MessageQueue.instance(channel).disconnect())

    def stop(self):
        """Forgets all channels, and ends the server and its thread."""
        self.run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self, app):
        sockets = bind_sockets(0, "127.0.0.1")
        self._server = StrictServer(app, **LIMITS)
        self._server.add_sockets(sockets)
        self.proxy = Proxy(sockets[0].getsockname()[1])
        await self.proxy.start()

    async def _stop(self):
        self._server.stop()
        await self.proxy.stop()
        MessageQueue.reset()
        await self._server.close_all_connections()
        # Streams notice that the proxy has closed their connections.
        await asyncio.sleep(0.05)
