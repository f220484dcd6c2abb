"""Answers that arrive token by token, on pages that may be reloaded at any time.

    .venv/bin/python examples/recipes/llm_tokens.py

The variable PAUSE is the time between two tokens, in seconds.
"""

import asyncio
import os
import secrets

from tatsumaki_py import (
    Application,
    Error,
    Handler,
    MessageQueue,
    Server,
    SubscribeHandler,
    TatsumakiJS,
)

# A page that opens late gets all tokens of an answer. Each channel of this program is an answer.
MessageQueue.backlog_length = MessageQueue.buffer_length = 10_000

PAUSE = float(os.environ.get("PAUSE", "0.06"))
MAX_PROMPT = 1000

ASK = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>Ask</title>
<style>
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: auto; padding: 1rem }
  input, button { font: inherit; padding: .25rem .5rem }
  input { width: 100%; box-sizing: border-box; margin-bottom: .5rem }
</style>
<h1>Ask</h1>
<form action="/ask" method="post">
  <input name="prompt" maxlength="1000" aria-label="Question" required autofocus>
  <button>Ask</button>
</form>
"""

ANSWER = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>Answer</title>
<style>
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: auto; padding: 1rem }
  h1 { font-size: 1.25rem; overflow-wrap: anywhere }
  #answer { white-space: pre-wrap; overflow-wrap: anywhere }
  #answer[aria-busy=true]::after { content: "\\258D"; animation: blink 1s steps(2) infinite }
  @keyframes blink { to { opacity: 0 } }
</style>
<h1></h1>
<p id="answer" aria-busy="true"></p>
<p id="status" role="status"></p>
<p><a href="/">Ask something else</a></p>
<script type="module">
  import { Subscription } from "/tatsumaki.js";

  const [question, answer, status] = document.querySelectorAll("h1, #answer, #status");
  const id = location.pathname.split("/").at(-1);

  new Subscription(`/tokens/${id}`, {
    onEvent(event) {
      if (typeof event === "string") answer.append(event);
      else if (event.prompt) question.textContent = event.prompt;
      else status.textContent = event.error;
    },
    onEnd() {
      answer.ariaBusy = "false";
    },
    onGap() {
      location.reload();
    },
  });
</script>
"""

TEXT = """Each answer is a stream of tokens on a separate channel. The program that makes the \
tokens publishes them, one event each, and ends the channel after the last one. It does not know \
who reads them, or whether anyone does.

A page subscribes without a cursor and gets the tokens so far, then the following ones, then \
the end. Reload it in the middle: it shows the same text and continues. Open it in a second tab: \
both show the same text. Reload it after the end: all tokens are there, and the page does not \
reconnect.
"""


async def model(prompt):
    """The tokens of an answer. A real program calls a language model here."""
    words = f"You asked: {prompt}\n\n{TEXT}".split(" ")
    for word in words[:-1]:
        yield word + " "
        await asyncio.sleep(PAUSE)
    yield words[-1]


async def generate(id, prompt):
    """Publish an answer."""
    answer = MessageQueue.instance(id)
    try:
        async for token in model(prompt):
            await answer.publish(token)
    except BaseException:  # also when the server stops
        answer.publish({"error": "The answer broke off."})
        raise
    finally:
        await answer.end()


class Start(Handler):
    def get(self):
        self.write(ASK)


class Ask(Handler):
    async def post(self):
        prompt = self.get_argument("prompt")
        if len(prompt) > MAX_PROMPT:
            Error.HTTP.throw(413, f"a question has at most {MAX_PROMPT} characters")
        id = secrets.token_urlsafe(16)  # a secret: anyone with the URL can read the answer
        await MessageQueue.instance(id).publish({"prompt": prompt})
        # This task continues when the page is closed, unlike a task of the request.
        self.application.spawn(generate(id, prompt))
        self.redirect(f"/answers/{id}", status=303)


class Answer(Handler):
    async def get(self, id):
        answer = MessageQueue.instance(id)
        await answer.ready()
        if not answer.backlog_events:
            Error.HTTP.throw(404, "this answer is no longer kept")
        self.write(ANSWER)


app = Application(
    [
        ("/", Start),
        ("/ask", Ask),
        (r"/answers/([\w-]+)", Answer),
        (r"/tokens/([\w-]+)", SubscribeHandler),
        (r"/(tatsumaki\.js)", TatsumakiJS),
    ],
    cross_origin_protection=True,
)

if __name__ == "__main__":
    Server().run(app)
