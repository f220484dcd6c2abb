"""A wall of messages with htmx: the server pushes fragments of HTML.

    .venv/bin/python examples/recipes/htmx.py

``/`` uses htmx 4, ``/2`` htmx 2. The scripts come from a CDN, or from the folder in the variable
NPM, which contains them under the same paths.
"""

import os

from tornado.escape import xhtml_escape
from tornado.web import StaticFileHandler

from tatsumaki_py import Application, Handler, MessageQueue, Server, SubscribeHandler

PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <title>Wall</title>
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <link rel="icon" href="data:,">
  <style>
    body { font: 1rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: auto; padding: 1rem }
    ul { list-style: none; padding: 0 }
    li { padding: .5rem .75rem; margin: .5rem 0; border: 1px solid #8886; border-radius: .5rem }
    li, input { overflow-wrap: anywhere }
    form { display: flex; flex-wrap: wrap; gap: .5rem }
    input, button { font: inherit; padding: .25rem .5rem }
    [name=text] { flex: 1 }
    [name=name] { width: 8rem }
  </style>
  {scripts}
</head>
<body>
  <h1>Wall</h1>
  {form}
  {list}
</body>
</html>
"""

FORM = """<form hx-post="/say" hx-swap="outerHTML">
  <input name="name" value="{name}" placeholder="your name" aria-label="Your name" required>
  <input name="text" placeholder="message" aria-label="Message" required autofocus>
  <button>Say</button>
</form>"""

HTMX_4 = """<ul hx-sse:connect="/html/wall?last_event_id={cursor}" hx-swap="beforeend"
    hx-on:gap="location.reload()">{items}</ul>"""

HTMX_2 = """<ul hx-ext="sse" sse-connect="/html/wall?last_event_id={cursor}" hx-swap="beforeend"
    sse-swap="message" hx-trigger="sse:gap" hx-on:sse:gap="location.reload()">{items}</ul>"""

# After an error such as 503, htmx 2 makes a new EventSource, which does not know the last id.
RESUME_2 = """<script>
  let last;
  addEventListener("htmx:sseBeforeMessage", (event) => (last = event.detail.lastEventId));
  htmx.createEventSource = (path) => {
    const url = new URL(path, location);
    if (last) url.searchParams.set("last_event_id", last);
    return new EventSource(url);
  };
</script>"""

SCRIPTS_4 = "htmx.org@4.0.1/dist/htmx.min.js", "htmx.org@4.0.1/dist/ext/hx-sse.min.js"
SCRIPTS_2 = "htmx.org@2.0.11/dist/htmx.min.js", "htmx-ext-sse@2.2.4/dist/sse.min.js"
NPM = os.environ.get("NPM")
CDN = "/npm" if NPM else "https://cdn.jsdelivr.net/npm"


def item(name, text):
    return f"<li><b>{xhtml_escape(name)}</b> {xhtml_escape(text)}</li>"


def form(name=""):
    return FORM.replace("{name}", xhtml_escape(name))


class Page(Handler):
    def initialize(self, scripts, wall, extra=""):
        tags = [f'<script src="{CDN}/{script}"></script>' for script in scripts]
        self.scripts, self.wall = "\n  ".join([*tags, extra]), wall

    async def get(self):
        mq = MessageQueue.instance("wall")
        await mq.ready()
        # Without an await in between, the page subscribes right after the items it shows.
        items, cursor = "".join(mq.backlog_events), mq.cursor()
        wall = self.wall.replace("{cursor}", cursor).replace("{items}", items)
        page = PAGE.replace("{scripts}", self.scripts)
        self.write(page.replace("{form}", form()).replace("{list}", wall))


class Fragments(SubscribeHandler):
    text = True


class Say(Handler):
    async def post(self):
        name, text = self.get_argument("name"), self.get_argument("text")
        await MessageQueue.instance("wall").publish(item(name, text))
        self.write(form(name))


app = Application(
    [
        ("/", Page, {"scripts": SCRIPTS_4, "wall": HTMX_4}),
        ("/2", Page, {"scripts": SCRIPTS_2, "wall": HTMX_2, "extra": RESUME_2}),
        ("/html/(wall)", Fragments),
        ("/say", Say),
    ],
    cross_origin_protection=True,
)
if NPM:
    app.add_handlers(".*", [("/npm/(.*)", StaticFileHandler, {"path": NPM})])

if __name__ == "__main__":
    Server().run(app)
