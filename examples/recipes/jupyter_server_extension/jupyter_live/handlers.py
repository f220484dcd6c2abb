"""The handlers of tatsumaki_py, for users that Jupyter has authenticated and authorized."""

from html import escape

from jupyter_core.utils import ensure_async
from jupyter_server.base.handlers import JupyterHandler
from tornado.web import authenticated

from tatsumaki_py import PublishHandler, SubscribeHandler

PAGE = """<!doctype html>
<title>Live</title>
<ul id="events"></ul>
<form><input name="text" required> <button>Publish</button></form>
<script type="module">
  import { Subscription } from "{base}live/tatsumaki.js";

  const list = document.getElementById("events");
  const form = document.querySelector("form");
  new Subscription("{base}live/events/news", {
    onEvent: event => list.appendChild(document.createElement("li")).textContent = event.text,
  });
  form.addEventListener("submit", async event => {
    event.preventDefault();
    const answer = await fetch("{base}live/publish/news", {
      method: "POST",
      headers: { "X-XSRFToken": "{xsrf}" },
      body: new URLSearchParams(new FormData(form)),
    });
    if (answer.ok) form.reset();
  });
</script>
"""


class Permission:
    """Asks the authorizer of Jupyter, which by default permits every authenticated user."""

    async def permits(self, action):
        user = self.current_user
        if user is None:
            return False
        return await ensure_async(self.authorizer.is_authorized(self, user, action, "live"))


class Events(Permission, SubscribeHandler, JupyterHandler):
    async def can_subscribe(self, channel):
        return await self.permits("read")


class Publish(Permission, PublishHandler, JupyterHandler):
    async def can_publish(self, channel):
        return await self.permits("write")


class Page(JupyterHandler):
    @authenticated
    def get(self):
        token = escape(self.xsrf_token.decode())
        self.finish(PAGE.replace("{base}", self.base_url).replace("{xsrf}", token))
