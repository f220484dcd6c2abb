"""A browser's session with a Bokeh server, without a browser: its WebSocket and its messages."""

import asyncio
import itertools
import json
import re

from tornado.httpclient import AsyncHTTPClient
from tornado.websocket import websocket_connect


class BokehSession:
    """One open page.

    Args:
        url: the URL of the page.
    """

    def __init__(self, url):
        self.url = url
        self._ids = itertools.count()

    async def __aenter__(self):
        client = AsyncHTTPClient(force_instance=True)
        html = (await client.fetch(self.url)).body.decode()
        client.close()
        token = re.search(r'"token":"([^"]+)"', html)[1]
        url = f"{self.url.replace('http', 'ws', 1)}/ws"
        self._socket = await websocket_connect(url, subprotocols=["bokeh", token])
        assert (await self._read())[0] == "ACK"
        await self._send("PULL-DOC-REQ", {})
        _, reply = await self._read("PULL-DOC-REPLY")
        self._document = json.dumps(reply["doc"])
        return self

    async def __aexit__(self, *exception):
        self._socket.close()
        while await self._socket.read_message() is not None:
            pass

    def find(self, kind):
        """The id of the only model of the class `kind`."""
        pattern = rf'"name": "(?:[\w.]+\.)?{kind}", "id": "([^"]+)"'
        (model,) = set(re.findall(pattern, self._document))
        return model

    async def change(self, kind, attribute, value):
        """Changes a model, as a user does."""
        model = {"id": self.find(kind)}
        change = {"kind": "ModelChanged", "model": model, "attr": attribute, "new": value}
        await self._send("PATCH-DOC", {"events": [change]})

    async def until_changed(self, kind, attribute, value):
        """Waits until the server has changed the attribute to a value that contains `value`."""
        model = self.find(kind)
        async with asyncio.timeout(10):
            while True:
                for event in (await self._read("PATCH-DOC"))[1]["events"]:
                    mine = event.get("model") == {"id": model} and event["attr"] == attribute
                    if mine and value in event["new"]:
                        return

    async def _send(self, kind, content):
        header = {"msgtype": kind, "msgid": str(next(self._ids))}
        for part in (header, {}, content):
            await self._socket.write_message(json.dumps(part))

    async def _read(self, kind=None):
        """The kind and content of the next message; with `kind`, of the next of that kind."""
        while True:
            parts = [await self._socket.read_message() for _ in range(3)]
            header, _, content = (json.loads(part) for part in parts)
            assert not header.get("num_buffers")
            assert header["msgtype"] != "ERROR", content
            if kind in (None, header["msgtype"]):
                return header["msgtype"], content
