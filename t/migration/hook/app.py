"""Receives a hook from a code host, passes it to a chat's API, and publishes it. See app.psgi."""

import json

from tatsumaki_py import Application, Error, Handler, HTTPClient, MessageQueue, Server


class HookHandler(Handler):
    asynchronous = True

    def post(self, project):
        req = self.request
        if not (req.content_type or "").startswith("application/json"):
            Error.HTTP.throw(415, "JSON wanted")
        try:
            hook = json.loads(req.content)
        except ValueError:
            Error.HTTP.throw(400, "broken JSON")
        base = req.env["psgi.url_scheme"] + "://" + req.env["HTTP_HOST"]

        def on_told(res):
            res.is_success or Error.HTTP.throw(502, f"chat: {res.status_line}")
            MessageQueue.instance(project).publish(hook)
            self.form(client, base, hook)

        client = HTTPClient(timeout=5)
        client.post(
            f"{base}/api/messages",
            json.dumps({"text": f"{hook['user']} pushed to {project}"}),
            self.async_cb(on_told),
            headers={"Authorization": "Bearer secret", "Content-Type": "application/json"},
        )

    def form(self, client, base, hook):
        """Sends a form to the counter, then a request with another method."""

        def on_counted(res):
            count = json.loads(res.content)

            def on_put(res):
                self.response.code = 202
                self.write(
                    {
                        "count": count,
                        "put": res.code,
                        "reason": res.message,
                        "type": res.header("Content-Type"),
                    }
                )
                self.finish()

            headers = {"Accept": "text/plain"}
            url = f"{base}/api/count"
            client.request("PUT", url, None, self.async_cb(on_put), headers=headers)

        client.post(f"{base}/api/count", {"user": hook["user"], "n": 1}, self.async_cb(on_counted))


class MessagesHandler(Handler):
    def post(self):
        if self.request.header("Authorization") != "Bearer secret":
            Error.HTTP.throw(403, "no token")
        message = json.loads(self.request.raw_body)
        if message["text"].startswith("mallory"):
            Error.HTTP.throw(503, "busy")
        self.write({"ok": True})


count = {}


class CountHandler(Handler):
    def post(self):
        v = self.request.body_parameters
        count[v["user"]] = count.get(v["user"], 0) + int(v["n"])
        self.write(count)


class PollHandler(Handler):
    asynchronous = True

    def get(self, project):
        mq = MessageQueue.instance(project)
        mq.poll_once(None, self.on_new_event, 1)

    def on_new_event(self, *events):
        self.finish(events)


app = Application(
    [
        (r"/hook/(\w+)", HookHandler),
        (r"/poll/(\w+)", PollHandler),
        ("/api/messages", MessagesHandler),
        ("/api/count", CountHandler),
    ]
)

if __name__ == "__main__":
    Server().run(app)
