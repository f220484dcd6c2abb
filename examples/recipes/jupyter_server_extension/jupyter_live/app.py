"""The extension."""

import os

from jupyter_server.extension.application import ExtensionApp

from jupyter_live import TOKEN, URL
from jupyter_live.handlers import Events, Page, Publish
from tatsumaki_py import TatsumakiJS


class Live(ExtensionApp):
    name = "jupyter_live"
    extension_url = "/live"

    def initialize_handlers(self):
        # Jupyter puts its base_url in front of these paths.
        self.handlers += [
            ("/live", Page),
            (r"/live/events/([\w.-]+)", Events),
            (r"/live/publish/([\w.-]+)", Publish),
            (r"/live/(tatsumaki\.js)", TatsumakiJS),
        ]

    async def _start_jupyter_server_extension(self, serverapp):
        # Called when the port is known. Kernels inherit the environment.
        os.environ[URL] = f"{serverapp.connection_url}live/"
        os.environ[TOKEN] = serverapp.identity_provider.token
