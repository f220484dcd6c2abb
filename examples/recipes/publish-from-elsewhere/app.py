"""A page that shows what other programs publish: a Celery task, a cron job, a Django view.

    .venv/bin/python examples/recipes/publish-from-elsewhere/app.py

``docs/recipes/publish-from-elsewhere.md`` describes the other programs.
"""

import base64
import hmac
import os

from tatsumaki_py import (
    Application,
    Error,
    Handler,
    MessageQueue,
    PublishHandler,
    Server,
    SubscribeHandler,
    TatsumakiJS,
)

SECRET = os.environ.get("PUBLISH_SECRET", "only for this example")
AUTHORIZATION = b"Basic " + base64.b64encode(f"shop:{SECRET}".encode())

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Orders</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<style>
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 1rem }
  h1 { margin: 0 }
  ul { list-style: none; padding: 0 }
  li { padding: .5rem .75rem; margin: .5rem 0; border: 1px solid #8886; border-radius: .5rem }
  code { overflow-wrap: anywhere }
  p { opacity: .8 }
</style>
<h1>Orders</h1>
<p>The connection: <output id="state"></output></p>
<ul id="orders" data-cursor="{cursor}"></ul>
<script type="module">
  import { Subscription } from "/tatsumaki.js";

  const list = document.getElementById("orders");
  new Subscription("/events/orders", {
    lastEventId: list.dataset.cursor,
    onEvent(event) {
      const code = document.createElement("code");
      code.textContent = JSON.stringify(event);
      list.prepend(document.createElement("li"));
      list.firstChild.append(code);
    },
    onState(state) {
      document.getElementById("state").textContent = state;
    },
  });
</script>
"""


class Page(Handler):
    def get(self):
        self.write(PAGE.replace("{cursor}", MessageQueue.instance("orders").cursor()))


class Publish(PublishHandler):
    def can_publish(self, channel):
        header = self.request.headers.get("Authorization", "")
        if not hmac.compare_digest(header.encode(), AUTHORIZATION):
            Error.HTTP.throw(401, "the password of the shop is needed")
        return True


app = Application(
    [
        ("/", Page),
        ("/events/(orders)", SubscribeHandler),
        ("/publish/(orders)", Publish),
        (r"/(tatsumaki\.js)", TatsumakiJS),
    ]
)

if __name__ == "__main__":
    Server().run(app)
