"""An upload, a redirect, a download. See app.psgi."""

import os
import re
from time import time

from tatsumaki_py import Application, Error, Handler, Server

files = {}


class FormHandler(Handler):
    def get(self):
        last = self.get_cookie("last")
        if last is not None:
            self.write(f"<p>You sent {last}</p>\n")
        self.write(
            "<form method=post action=/upload enctype=multipart/form-data>"
            "<input type=file name=file><input name=title><input type=submit></form>"
        )


class UploadHandler(Handler):
    def post(self):
        req = self.request
        upload = req.upload("file") or Error.HTTP.throw(400, "'file' needed")
        name = re.sub(r"[^\w.-]+", "_", os.path.basename(upload.filename))
        files[name] = {
            "title": req.body_parameters.get("title"),
            "type": upload.content_type,
            "data": upload.body,
            "from": req.user_agent,
        }
        res = self.response
        res.redirect(f"/files/{name}", 303)
        res.cookies["last"] = {"value": name, "path": "/", "expires": time() + 3600}
        res.header("X-Size", len(upload.body))


class FileHandler(Handler):
    def get(self, name):
        file = files.get(name) or Error.HTTP.throw(404)
        if self.request.query_parameters.get("info"):
            self.write({"title": file["title"], "from": file["from"]})
            return
        self.binary = True
        self.response.headers = [
            ("Content-Type", file["type"]),
            ("X-Content-Type-Options", "nosniff"),
        ]
        self.response.body = [file["data"]]

    def delete(self, name):
        files.pop(name, None) or Error.HTTP.throw(404)
        self.response.cookies["last"] = {"value": "", "path": "/", "expires": 0}
        self.response.code = 204


app = Application(
    [
        ("/upload", UploadHandler),
        (r"/files/([\w.-]+)", FileHandler),
        ("/", FormHandler),
    ]
)

if __name__ == "__main__":
    Server().run(app)
