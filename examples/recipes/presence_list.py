"""A list of the people in a room.

    .venv/bin/python examples/recipes/presence_list.py

Open http://127.0.0.1:5000/rooms/lobby in several tabs and several browsers.
"""

import asyncio
import contextlib
import os
import secrets
import sqlite3
import time
from functools import cache

from tornado.escape import json_encode, url_escape
from tornado.template import Template
from tornado.web import RedirectHandler

from tatsumaki_py import (
    Application,
    Error,
    Handler,
    MessageQueue,
    Server,
    Service,
    SubscribeHandler,
    TatsumakiJS,
)

GRACE = float(os.environ.get("GRACE", "5"))  # seconds for which a lost client stays on the list

PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{{ room }}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<style>
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: auto; padding: 1rem }
  ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .5rem }
  li { padding: .25rem .75rem; border: 1px solid #8886; border-radius: 1rem }
  li::before { content: "● "; color: #2a2 }
  input, button { font: inherit; padding: .25rem .5rem }
  output { opacity: .8 }
</style>
<h1>In the room {{ room }}</h1>
<ul id="people" aria-live="polite" data-list="{{ list }}" data-cursor="{{ cursor }}"></ul>
<p><output id="state">connecting</output></p>
<form action="/enter" method="post">
  <input type="hidden" name="room" value="{{ room }}">
  <input name="name" value="{{ name }}" aria-label="Your name" required maxlength="40">
  <button>Change my name</button>
</form>
<script type="module">
  import { Subscription } from "/tatsumaki.js";

  const people = document.getElementById("people");
  let version = 0;

  function show(list) {
    if (list.version < version) return; // from a slower process
    version = list.version;
    people.replaceChildren(
      ...list.people.map((name) => {
        const item = document.createElement("li");
        item.textContent = name;
        return item;
      }),
    );
  }

  show(JSON.parse(people.dataset.list));
  new Subscription(`${location.pathname}/events?name={{ url_escape(name) }}`, {
    lastEventId: people.dataset.cursor,
    onEvent: show,
    onState(state, { error }) {
      document.getElementById("state").textContent = error?.message ?? state;
    },
  });
</script>
""")


@cache
def database():
    """The connection of this process; all processes use the same file."""
    db = sqlite3.connect(os.environ.get("DATABASE", ":memory:"), isolation_level=None)
    db.execute(
        "CREATE TABLE IF NOT EXISTS present"
        " (room TEXT, client TEXT, name TEXT, gone REAL, PRIMARY KEY (room, client))"
    )
    db.execute("CREATE TABLE IF NOT EXISTS versions (room TEXT PRIMARY KEY, version INTEGER)")
    return db


def list_of(room):
    """The people in a room. Of two lists, the one with the greater version is newer."""
    now = int(time.time() * 1000)
    with database() as db:
        db.execute("BEGIN IMMEDIATE")
        row = db.execute(
            "INSERT INTO versions VALUES (?1, ?2)"
            " ON CONFLICT DO UPDATE SET version = max(version + 1, ?2) RETURNING version",
            [room, now],
        ).fetchone()
        query = "SELECT DISTINCT name FROM present WHERE room = ? ORDER BY name"
        people = [name for (name,) in db.execute(query, [room])]
    return {"version": row[0], "people": people}


async def tell(room):
    await MessageQueue.instance(room).publish(list_of(room))


class WithName:
    def get_current_user(self):
        name = self.get_signed_cookie("name")
        return name and name.decode()


class Room(WithName, Handler):
    async def get(self, room):
        name = self.current_user
        if not name:
            name = f"Guest {secrets.randbelow(1000)}"
            self.set_signed_cookie("name", name, httponly=True, samesite="Lax")
        mq = MessageQueue.instance(room)
        await mq.ready()
        cursor, people = mq.cursor(), json_encode(list_of(room))
        self.write(PAGE.generate(room=room, name=name, list=people, cursor=cursor))


class Enter(Handler):
    def post(self):
        name, room = self.get_argument("name")[:40], self.get_argument("room")
        self.set_signed_cookie("name", name, httponly=True, samesite="Lax")
        self.redirect(f"/rooms/{url_escape(room)}")


class Events(WithName, SubscribeHandler):
    def can_subscribe(self, room):
        if not self.current_user:
            Error.HTTP.throw(401, "open the page of the room first")
        return True

    async def on_subscribe(self, room):
        row = [room, self.client_id(), self.current_user]
        if self.client_id():
            database().execute("INSERT OR REPLACE INTO present VALUES (?, ?, ?, NULL)", row)
            await tell(room)

    def on_unsubscribe(self, room):
        # This may run in a process other than the client's: only client_id is known.
        mark = "UPDATE present SET gone = ? WHERE room = ? AND client = ?"
        database().execute(mark, [time.time(), room, self.client_id()])


class Sweeper(Service):
    """Removes the clients that did not come back."""

    def start(self):
        self.application.spawn(self.run())

    async def run(self):
        late = "DELETE FROM present WHERE gone < ? RETURNING room"
        while True:
            await asyncio.sleep(GRACE / 4)
            rooms = database().execute(late, [time.time() - GRACE]).fetchall()
            for (room,) in set(rooms):
                # While Redis is down, nothing is published. The next list has all changes.
                with contextlib.suppress(Error.HTTP):
                    await tell(room)


app = Application(
    [
        ("/", RedirectHandler, {"url": "/rooms/lobby"}),
        (r"/rooms/(\w+)", Room),
        (r"/rooms/(\w+)/events", Events),
        (r"/(tatsumaki\.js)", TatsumakiJS),
        ("/enter", Enter),
    ],
    cookie_secret=os.environ.get("COOKIE_SECRET") or secrets.token_hex(),
    cross_origin_protection=True,
)
app.add_service(Sweeper())

if __name__ == "__main__":
    Server().run(app)
