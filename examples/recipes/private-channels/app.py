"""Private channels: each user gets only their own messages, until a logout or a ban.

    .venv/bin/python examples/recipes/private-channels/app.py

Log in as ann, bob or admin; the password equals the name. A page from another origin is at
http://localhost:5000/elsewhere.
"""

import os
import secrets
import sqlite3
from functools import cache

from tornado.web import authenticated

from tatsumaki_py import (
    Application,
    CrossOriginHandler,
    Error,
    Handler,
    MessageQueue,
    Server,
    SubscribeHandler,
    TatsumakiJS,
    TicketedHandler,
)

HERE = os.environ.get("HERE", "http://127.0.0.1:5000")
ELSEWHERE = os.environ.get("ELSEWHERE", "http://localhost:5000")
USERS = "ann", "bob", "admin"


@cache
def database():
    """The connection of this process; all processes use the same file."""
    db = sqlite3.connect(os.environ.get("DATABASE", ":memory:"), isolation_level=None)
    db.execute("CREATE TABLE IF NOT EXISTS sessions (id TEXT PRIMARY KEY, user TEXT NOT NULL)")
    db.execute("CREATE TABLE IF NOT EXISTS banned (user TEXT PRIMARY KEY)")
    return db


def user_of(session):
    """The user who is logged in with this session, or None."""
    query = "SELECT user FROM sessions WHERE id = ? AND user NOT IN (SELECT user FROM banned)"
    row = database().execute(query, [session or ""]).fetchone()
    return row and row[0]


def end_streams(user):
    """Ends the user's connections in all processes. Clients that are still allowed reconnect."""
    SubscribeHandler.disconnect(user)


class WithUser:
    def session(self):
        cookie = self.get_signed_cookie("session")
        return cookie and cookie.decode()

    def get_current_user(self):
        return user_of(self.session())


class Page(WithUser, Handler):
    @authenticated
    def get(self):
        user = self.current_user
        # An API would give its clients such a token.
        token = self.create_signed_value("token", self.session()).decode()
        cursor = MessageQueue.instance(f"user/{user}").cursor()
        self.render("page.html", user=user, users=USERS, token=token, cursor=cursor)


class Login(Handler):
    def get(self):
        self.render("login.html", error="")

    def post(self):
        user, password = self.get_argument("user"), self.get_argument("password")
        # A real program compares hashes.
        if user not in USERS or not secrets.compare_digest(password.encode(), user.encode()):
            self.set_status(403)
            return self.render("login.html", error="The name or the password is wrong.")
        session = secrets.token_urlsafe()
        database().execute("INSERT INTO sessions VALUES (?, ?)", [session, user])
        self.set_signed_cookie("session", session, httponly=True, samesite="Lax")
        self.redirect("/")


class Logout(WithUser, Handler):
    @authenticated
    def post(self):
        database().execute("DELETE FROM sessions WHERE id = ?", [self.session()])
        end_streams(self.current_user)
        self.clear_cookie("session")
        self.redirect("/login")


class Ban(WithUser, Handler):
    @authenticated
    def post(self):
        if self.current_user != "admin":
            Error.HTTP.throw(403)
        user = self.get_argument("to")
        database().execute("INSERT OR IGNORE INTO banned VALUES (?)", [user])
        end_streams(user)
        self.redirect("/")


class Send(WithUser, Handler):
    @authenticated
    async def post(self):
        to = self.get_argument("to")
        if to not in USERS:
            Error.HTTP.throw(404, "there is no such user")
        event = {"from": self.current_user, "text": self.get_argument("text")}
        await MessageQueue.instance(f"user/{to}").publish(event)
        self.set_status(204)


class Mine(WithUser, SubscribeHandler):
    """The messages to the user of the cookie. The channel is not in the URL."""

    recheck_time = 60.0

    def channels(self):
        return [f"user/{self.current_user}"]

    def group(self):
        return self.current_user

    def can_subscribe(self, channel):
        # Not current_user, which is read once for each request: a recheck calls this method again.
        user = user_of(self.session())
        if not user or channel != f"user/{user}":
            Error.HTTP.throw(401, "you are logged out")
        return True


class Tickets(CrossOriginHandler):
    """A ticket for the user of a token, for a page that has no cookie."""

    allowed_origins = (ELSEWHERE,)

    def post(self):
        _, _, token = self.request.headers.get("Authorization", "").partition(" ")
        session = self.get_signed_cookie("token", token)
        user = user_of(session and session.decode())
        if not user:
            Error.HTTP.throw(401, "you are logged out")
        self.write(self.create_ticket([f"user/{user}"], 60, group=user))


class Ticketed(TicketedHandler):
    """The messages to the user of the ticket."""

    allowed_origins = (ELSEWHERE,)
    recheck_time = 60.0

    def channels(self):
        return [f"user/{self.group()}"]

    def can_subscribe(self, channel):
        user = self.check_ticket(channel).group
        return not database().execute("SELECT 1 FROM banned WHERE user = ?", [user]).fetchone()


class Elsewhere(Handler):
    def get(self):
        self.render("elsewhere.html", here=HERE)


app = Application(
    [
        ("/", Page),
        ("/login", Login),
        ("/logout", Logout),
        ("/ban", Ban),
        ("/send", Send),
        ("/mine", Mine),
        ("/ticket", Tickets),
        ("/ticketed", Ticketed),
        ("/elsewhere", Elsewhere),
        (r"/(tatsumaki\.js)", TatsumakiJS),
    ],
    cookie_secret=os.environ.get("COOKIE_SECRET") or secrets.token_hex(),
    login_url="/login",
    cross_origin_protection=True,
)

if __name__ == "__main__":
    Server().run(app)
