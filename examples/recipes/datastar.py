"""A live vote with Datastar: the server pushes patches to the page.

    .venv/bin/python examples/recipes/datastar.py

Datastar comes from a CDN, or from the address in the variable DATASTAR, which may be a file.
"""

import os
from urllib.parse import quote

from tornado.escape import xhtml_escape
from tornado.web import StaticFileHandler

from tatsumaki_py import Application, Handler, MessageQueue, Server, SubscribeHandler

PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <title>Vote</title>
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <link rel="icon" href="data:,">
  <style>
    body { font: 1rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: auto; padding: 1rem }
    ul { list-style: none; padding: 0 }
    li { display: flex; gap: .75rem; align-items: center; margin: .5rem 0 }
    li span { flex: 1; overflow-wrap: anywhere }
    form { display: flex; gap: .5rem }
    input, button { font: inherit; padding: .25rem .5rem }
    input { flex: 1 }
  </style>
  <script type="module" src="{datastar}"></script>
</head>
<body data-signals="{total: {total}}">
  <h1>What do you drink?</h1>
  <div data-init="@get('/updates/vote?last_event_id={cursor}',
    {retry: 'always', retryMaxCount: Infinity})"></div>
  {list}
  <p>Votes: <output data-text="$total"></output></p>
  <form data-on:submit="@post('/vote', {contentType: 'form'}); el.reset()">
    <input name="drink" placeholder="another drink" aria-label="Another drink" required>
    <button>Add</button>
  </form>
</body>
</html>
"""

CDN = "https://cdn.jsdelivr.net/gh/starfederation/datastar@v1.0.1/bundles/datastar.js"
DATASTAR = os.environ.get("DATASTAR", CDN)

votes = {"Tea": 0, "Coffee": 0}


def elements():
    """The list as HTML."""
    items = [
        f"""<li><span>{xhtml_escape(drink)}</span> <b>{number}</b>
          <button data-on:click="@post('/vote?drink={quote(drink)}')">Vote</button></li>"""
        for drink, number in votes.items()
    ]
    return "\n".join(['<ul id="votes">', *items, "</ul>"])


def patch_elements(html):
    """An event that replaces the elements with the same ids."""
    lines = [f"elements {line}" for line in html.splitlines()]
    return {"type": "datastar-patch-elements", "text": "\n".join(lines)}


def patch_signals(json):
    return {"type": "datastar-patch-signals", "text": f"signals {json}"}


class Page(Handler):
    def get(self):
        cursor = MessageQueue.instance("vote").cursor()
        page = PAGE.replace("{datastar}", "/datastar.js" if DATASTAR[0] == "/" else DATASTAR)
        page = page.replace("{total}", str(sum(votes.values()))).replace("{cursor}", cursor)
        self.write(page.replace("{list}", elements()))


class Updates(SubscribeHandler):
    text = True


class Vote(Handler):
    def post(self):
        drink = self.get_argument("drink")[:100]
        if drink in votes or len(votes) < 20:
            votes[drink] = votes.get(drink, 0) + 1
        total = sum(votes.values())
        MessageQueue.instance("vote").publish(
            patch_elements(elements()), patch_signals(f'{{"total": {total}}}')
        )
        self.set_status(204)


app = Application(
    [("/", Page), ("/updates/(vote)", Updates), ("/vote", Vote)],
    cross_origin_protection=True,
)
if DATASTAR[0] == "/":
    folder, name = os.path.split(DATASTAR)
    app.add_handlers(".*", [(r"/(datastar\.js)", StaticFileHandler, {"path": folder})])

if __name__ == "__main__":
    Server().run(app)
