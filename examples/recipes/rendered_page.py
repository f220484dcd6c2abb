"""A table that the server renders, and that events change: a score board.

    .venv/bin/python examples/recipes/rendered_page.py

Click "Goal" in one window: the score changes in all windows.
"""

from tornado.escape import xhtml_escape

from tatsumaki_py import (
    Application,
    Error,
    Handler,
    MessageQueue,
    Server,
    SubscribeHandler,
    TatsumakiJS,
)

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>Scores</title>
<style>
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 30rem; margin: auto; padding: 1rem }
  table { width: 100%; border-collapse: collapse }
  td { padding: .5rem; border-bottom: 1px solid #8886 }
  button { font: inherit; padding: .25rem .5rem }
</style>
<h1>Scores</h1>
<form action="/goal" method="post">
  <table id="scores" data-cursor="{cursor}">{rows}</table>
</form>
<p id="state" role="status"></p>
<script type="module">
  import { Subscription } from "/tatsumaki.js";

  const table = document.getElementById("scores");
  const show = (team, score) => (document.getElementById(team).textContent = score);

  new Subscription("/events/scores", {
    lastEventId: table.dataset.cursor,
    onEvent: ({ team, score }) => show(team, score),
    async getState({ signal }) {
      const answer = await fetch("/state", { signal });
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      const state = await answer.json();
      for (const [team, score] of Object.entries(state.scores)) show(team, score);
      return state;
    },
    onState: (state) => (document.getElementById("state").textContent = state),
  });

  table.closest("form").addEventListener("submit", (event) => {
    event.preventDefault(); // without this script, the form loads the page again
    fetch("/goal", { method: "POST", body: new URLSearchParams({ team: event.submitter.value }) });
  });
</script>
"""

ROW = """<tr><td>{team}<td id="{team}">{score}
<td><button name="team" value="{team}">Goal</button>"""

scores = {"Blue": 0, "Green": 0, "Red": 0}  # a database in a real program


async def state():
    """The cursor, and the scores at this cursor."""
    mq = MessageQueue.instance("scores")
    await mq.ready()
    # The cursor first: an event that is published in between is also delivered.
    cursor = mq.cursor()
    return {"lastEventId": cursor, "scores": dict(scores)}


class Page(Handler):
    async def get(self):
        now = await state()
        rows = ""
        for team, score in now["scores"].items():
            rows += ROW.replace("{team}", xhtml_escape(team)).replace("{score}", str(score))
        self.set_header("Cache-Control", "no-store")
        self.write(PAGE.replace("{cursor}", now["lastEventId"]).replace("{rows}", rows))


class State(Handler):
    async def get(self):
        self.set_header("Cache-Control", "no-store")
        self.write(await state())


class Goal(Handler):
    async def post(self):
        team = self.get_argument("team")
        if team not in scores:
            Error.HTTP.throw(404, "there is no such team")
        scores[team] += 1
        # The new score, not "one more": the page may get an event that its state already has.
        await MessageQueue.instance("scores").publish({"team": team, "score": scores[team]})
        self.redirect("/", status=303)


app = Application(
    [
        ("/", Page),
        ("/state", State),
        ("/goal", Goal),
        ("/events/(scores)", SubscribeHandler),
        (r"/(tatsumaki\.js)", TatsumakiJS),
    ],
    cross_origin_protection=True,
)

if __name__ == "__main__":
    Server().run(app)
