"""An IRC bot, as a service. It publishes the messages of an IRC channel, and sends posted
messages to the channel.

    IRC=irc.libera.chat IRC_CHANNEL='#tatsumaki' python examples/bot.py

    curl -N 'http://127.0.0.1:5000/events/irc?transport=ndjson'
    curl http://127.0.0.1:5000/say -d name=ann -d text=hello

The service is a client of the channel "irc". It needs no queue for messages that are posted while
it is disconnected: when it reconnects, it resumes after the last message that it has sent.
"""

import asyncio
import contextlib
import logging
import os
import re
from random import random, randrange

from tatsumaki_py import Application, Handler, MessageQueue, Server, Service, SubscribeHandler

FIRST_WAIT, LAST_WAIT = 0.25, 60.0  # seconds between two attempts, doubled each time
PAUSE = 0.5  # seconds between two messages: an IRC server disconnects clients that send too fast
SILENCE = 300.0  # seconds of silence after which the server counts as dead

mq = MessageQueue.instance("irc")
log = logging.getLogger("bot")


class Bot(Service):
    def __init__(self, server, room, nick):
        host, _, port = server.partition(":")
        self.address = host, int(port or 6667)
        self.room = room
        self.name = self.nick = nick

    def start(self):
        self.cursor = mq.cursor()
        self.application.spawn(self.run())

    async def run(self):
        self.wait = FIRST_WAIT
        while True:
            try:
                await self.connect()
            except* (OSError, ValueError) as errors:  # ValueError: a line of more than 64 KiB
                log.warning("not connected to %s:%d: %r", *self.address, errors.exceptions[0])
            # With jitter, so that not all bots reconnect at the same time when the server restarts.
            await asyncio.sleep(self.wait * (0.5 + random()))
            self.wait = min(2 * self.wait, LAST_WAIT)

    async def connect(self):
        """Opens a connection and serves it until it ends."""
        async with asyncio.timeout(30):
            reader, self.writer = await asyncio.open_connection(*self.address)
        try:
            self.send(f"NICK {self.nick}")
            self.send(f"USER {self.nick} 0 * :a bot")
            async with asyncio.TaskGroup() as group:
                await self.listen(reader, group)
        finally:
            self.send("QUIT")
            self.writer.close()
            with contextlib.suppress(OSError):
                async with asyncio.timeout(1):
                    await self.writer.wait_closed()
            # The server may have stopped reading.
            self.writer.transport.abort()

    async def listen(self, reader, group):
        while True:
            async with asyncio.timeout(SILENCE):
                line = await reader.readline()
                await self.writer.drain()
            if not line:
                raise ConnectionError("the server closed the connection")
            who, command, parameters = parse(line.decode(errors="replace"))
            match command, parameters:
                case "PING", [*_, token]:
                    self.send(f"PONG :{token}")
                case "001", [nick, *_]:  # welcome
                    self.nick = nick
                    self.send(f"JOIN {self.room}")
                case "433", _:  # the name is taken
                    self.nick = f"{self.name}{randrange(1000)}"
                    self.send(f"NICK {self.nick}")
                case "JOIN", _ if who == self.nick:
                    log.info("joined %s on %s:%d", self.room, *self.address)
                    self.wait = FIRST_WAIT
                    group.create_task(self.speak())
                case "PRIVMSG", [self.room, text]:
                    mq.publish({"type": "message", "from": "irc", "name": who, "text": text})

    async def speak(self):
        """Sends posted messages to IRC."""
        async for events in mq.poll("bot", last_event_id=self.cursor):
            for event in events:
                posted = event.get("from") == "web"
                if posted:
                    self.send(f"PRIVMSG {self.room} :<{event['name']}> {event['text']}")
                    await self.writer.drain()
                self.cursor = event.id
                if posted:
                    await asyncio.sleep(PAUSE)

    def send(self, line):
        # Always one line, and no longer than IRC allows.
        line = re.sub(r"[\x00-\x1f]+", " ", line).encode()[:450].decode(errors="ignore")
        self.writer.write(f"{line}\r\n".encode())


def parse(line):
    """The sender's name, the command and the parameters of a line (RFC 1459 section 2.3.1)."""
    prefix = ""
    if line.startswith(":"):
        prefix, _, line = line[1:].partition(" ")
    line, colon, last = line.rstrip("\r\n").partition(" :")
    command, *parameters = line.split() or [""]
    if colon:
        parameters.append(last)
    return prefix.partition("!")[0], command, parameters


class Say(Handler):
    def post(self):
        v = self.request.parameters
        mq.publish({"type": "message", "from": "web", "name": v["name"], "text": v["text"]})
        self.write({"success": 1})


app = Application(
    [("/events/(irc)", SubscribeHandler), ("/say", Say)], cross_origin_protection=True
)
app.add_service(
    Bot(
        os.environ.get("IRC", "127.0.0.1"),
        os.environ.get("IRC_CHANNEL", "#tatsumaki"),
        os.environ.get("IRC_NICK", "tatsumaki"),
    )
)

if __name__ == "__main__":
    Server().run(app)
