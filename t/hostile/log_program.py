"""A program whose handlers put a client's text into every kind of log line and exception."""

import tempfile
from pathlib import Path

import tornado.web
import tornado.websocket
from tornado.log import app_log

from tatsumaki_py import Application, Handler, Server, TatsumakiJS, WebSocketHandler


class Plain(tornado.web.RequestHandler):
    """Logs the client's text in every way."""

    def get(self, how, text):
        if how == "http":
            raise tornado.web.HTTPError(400, "bad %s", text)
        if how == "formatted":
            raise tornado.web.HTTPError(400, f"bad {text}")
        if how == "error":
            raise ValueError(f"bad {text}")
        if how == "named":
            app_log.warning("bad %(text)s", {"text": text})
            raise tornado.web.HTTPError(400)
        if how == "template":
            self.render(text)
        if how == "cookie":
            self.get_signed_cookie("c", f'"2|1:0|10:{text}|1:c|0:|0"')
        self.get_argument("missing")

    def post(self, how, text):
        self.write("posted")


class Ours(Handler):
    get, post = Plain.get, Plain.post


class Socket(WebSocketHandler):
    def open(self, text):
        raise ValueError(text)


class PlainSocket(tornado.websocket.WebSocketHandler):
    def open(self, text):
        raise ValueError(text)


def make_app(directory):
    """Makes an application with handlers of both kinds, and static files with a folder "sub"."""
    (Path(directory) / "sub").mkdir()
    static = {"path": directory}
    return Application(
        [
            ("/plain/([^/]*)/(.*)", Plain),
            ("/ours/([^/]*)/(.*)", Ours),
            ("/files/(.*)", tornado.web.StaticFileHandler, static),
            ("/js/(.*)", TatsumakiJS),
            ("/error/(.*)", tornado.web.ErrorHandler, {"status_code": 500}),
            ("/redirect/(.*)", tornado.web.RedirectHandler, {"url": "/to/{0}"}),
            ("/socket/(.*)", Socket),
            ("/plain-socket/(.*)", PlainSocket),
        ],
        static_path=directory,
        xsrf_cookies=True,
        cookie_secret="s",
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        Server().run(make_app(directory))
