"""A Jupyter Server with an extension that pushes, in both orders of the base classes. This module
is also the extension: Jupyter imports it by its name.
"""

import os
import sys
import tempfile
from pathlib import Path

import tornado.web
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from jupyter_server.serverapp import ServerApp

from tatsumaki_py import Handler, MessageQueue, PublishHandler, SubscribeHandler, WebSocketHandler

TOKEN = "secret"


class Live:
    def can_subscribe(self, channel):
        self.log.info("%s subscribes", self.current_user.username)
        return channel != "closed"


class Ours(Live, SubscribeHandler, JupyterHandler):
    pass


class Theirs(Live, JupyterHandler, SubscribeHandler):
    pass


class OursPublish(PublishHandler, JupyterHandler):
    pass


class TheirsPublish(JupyterHandler, PublishHandler):
    pass


class Settings(Handler, JupyterHandler):
    """A handler with the names of both base classes."""

    def get(self):
        self.log("asked by ", self.current_user.username)
        self.log.debug("debug")
        self.write({"base": self.base_url, "logger": self.log.name, "in": self.logged_in})


class Authenticated(Handler, JupyterHandler):
    """A handler that is decorated like Jupyter's handlers."""

    @tornado.web.authenticated
    async def get(self):
        self.server_sent_events(True)
        await self.stream_write({"a": 1})


class OursAPI(Handler, APIHandler):
    def get(self):
        self.finish([1, 2])


class TheirsAPI(APIHandler, Handler):
    def get(self):
        self.finish([1, 2])


class Socket(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """A handler that is made like Jupyter's own WebSockets."""

    async def get(self, *args, **kwargs):
        await super().get(*args, **kwargs)

    def open(self, channel):
        super().open()
        MessageQueue.instance(channel).poll(None, self.on_event)

    def on_event(self, *events):
        for event in events:
            self.stream_write(event)


WITH_CHANNEL = (Ours, Theirs, OursPublish, TheirsPublish, Socket)
WITHOUT = (Settings, Authenticated, OursAPI, TheirsAPI)
NAME = Path(__file__).stem


def _jupyter_server_extension_points():
    return [{"module": NAME}]


def _load_jupyter_server_extension(app):
    rules = [(f"{app.base_url}{kind.__name__}/(.*)", kind) for kind in WITH_CHANNEL]
    rules += [(f"{app.base_url}{kind.__name__}", kind) for kind in WITHOUT]
    app.web_app.add_handlers(".*$", rules)
    # In the second iteration of the loop: Jupyter listens in the first one, after this callback.
    line = f"http://127.0.0.1:{app.port}/"
    app.io_loop.add_callback(app.io_loop.add_callback, print, line, flush=True)


def main():
    sys.path.insert(0, str(Path(__file__).parent))
    with tempfile.TemporaryDirectory() as directory:
        for kind in ("CONFIG", "DATA", "RUNTIME"):
            os.environ[f"JUPYTER_{kind}_DIR"] = directory
        os.environ["JUPYTER_NO_CONFIG"] = "1"
        ServerApp.launch_instance(
            [
                f"--port={os.environ['PORT']}",
                "--ip=127.0.0.1",
                "--no-browser",
                "--allow-root",
                f"--ServerApp.root_dir={directory}",
                f"--IdentityProvider.token={TOKEN}",
                "--ServerApp.allow_unauthenticated_access=False",
                "--ServerApp.port_retries=0",
                f"--ServerApp.jpserver_extensions={{'{NAME}': True}}",
            ]
        )


if __name__ == "__main__":
    main()
