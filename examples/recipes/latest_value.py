"""A board of exchange rates: a page that opens shows the latest rate of each currency.

    .venv/bin/python examples/recipes/latest_value.py

Publish rates with the form on the page.
"""

from tatsumaki_py import (
    Application,
    Handler,
    MessageQueue,
    PublishHandler,
    Server,
    SubscribeHandler,
    TatsumakiJS,
)

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Rates</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<style>
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 24rem; margin: auto; padding: 1rem }
  table { width: 100%; border-collapse: collapse }
  td { padding: .5rem; border-bottom: 1px solid #8886 }
  td + td { text-align: right; font-variant-numeric: tabular-nums }
  form { display: flex; gap: .5rem; margin-top: 1rem }
  input, button { font: inherit; padding: .25rem .5rem; min-width: 0 }
</style>
<h1>Rates</h1>
<table><tbody id="rates"></tbody></table>
<form>
  <input name="currency" placeholder="EUR" aria-label="Currency" maxlength="8" required>
  <input name="rate" type="number" step="any" placeholder="1.08" aria-label="Rate" required>
  <button>Publish</button>
</form>
<script type="module">
  import { Subscription } from "/tatsumaki.js";

  const board = document.getElementById("rates");
  new Subscription("/events/rates", {
    onEvent({ currency, rate }) {
      let row = [...board.rows].find((row) => row.cells[0].textContent === currency);
      if (!row) {
        row = board.insertRow();
        row.insertCell().textContent = currency;
        row.insertCell();
      }
      row.cells[1].textContent = rate;
    },
  });

  document.querySelector("form").onsubmit = async (event) => {
    event.preventDefault();
    const { currency, rate } = Object.fromEntries(new FormData(event.target));
    await fetch("/publish/rates", {
      method: "POST",
      headers: { "Content-Type": "application/json", "Event-Key": currency },
      body: JSON.stringify({ currency, rate: Number(rate) }),
    });
  };
</script>
</html>
"""


class Board(Handler):
    def get(self):
        self.write(PAGE)


# A new page gets only the last event of each key.
MessageQueue.instance("rates").backlog_length = 0

app = Application(
    [
        ("/", Board),
        ("/events/(rates)", SubscribeHandler),
        ("/publish/(rates)", PublishHandler),
        (r"/(tatsumaki\.js)", TatsumakiJS),
    ]
)

if __name__ == "__main__":
    Server().run(app)
