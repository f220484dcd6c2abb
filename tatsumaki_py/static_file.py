"""Files as they are: those of the application, and the browser's side of this package."""

from __future__ import annotations

from pathlib import Path

import tornado.web

__all__ = ["StaticFile", "TatsumakiJS"]


class StaticFile(tornado.web.StaticFileHandler):
    """Tornado's, but a NUL in the path is a file that is not there, and what has no version is
    asked for anew: a module that imports another names no version of it.
    """

    def set_extra_headers(self, path: str) -> None:
        if "v" not in self.request.arguments:
            self.set_header("Cache-Control", "no-cache")

    def get_content_type(self) -> str:
        # Not what the machine's own table says: a browser runs no module of another type.
        module = self.path.endswith((".js", ".mjs"))
        return "text/javascript" if module else super().get_content_type()

    def parse_url_path(self, url_path: str) -> str:
        if "\0" in url_path:
            raise tornado.web.HTTPError(404)
        return super().parse_url_path(url_path)


class TatsumakiJS(StaticFile):
    """Serves ``tatsumaki.js``, the module by which a page subscribes.

    The group of the route is the name of the file. Works in any `tornado.web.Application`.

    >>> from tatsumaki_py import Application, TatsumakiJS
    >>> app = Application([(r"/(tatsumaki\\.js)", TatsumakiJS)])
    """

    def initialize(self) -> None:  # type: ignore[override]
        super().initialize(str(Path(__file__).parent / "static"))

    def set_extra_headers(self, path: str) -> None:
        super().set_extra_headers(path)
        # It is public: a page of any origin may import it.
        self.set_header("Access-Control-Allow-Origin", "*")
        self.set_header("Cross-Origin-Resource-Policy", "cross-origin")
