"""The types of the module, as the editor of a page's author sees them."""

import json
import re
import shutil
import subprocess

import pytest
from support.outside import NODE_MODULES, find_program, node_environment
from support.program import ROOT

STATIC = ROOT / "tatsumaki_py/static"
USE = """
import { Subscription, type Details } from "tatsumaki";

const subscription = new Subscription(new URL("https://a.example/events"), {
  onEvent: (data, { id, channel }) => console.log(data.anything, id.length, channel?.length),
  onGap: ({ after, id }) => console.log(after.length + id.length),
  onState: (state, { transport, error, until }: Details) => {
    if (state === "closed") console.log(transport.length, error?.status, until + 1);
  },
  transports: ["websocket", "long-poll"],
  lastEventId: "1-0",
  channels: ["a", "b"],
  ticket: async () => "text",
});
subscription.transport = "ndjson";
// @ts-expect-error
subscription.transport = "pigeon";
// @ts-expect-error
subscription.state = "open";
// @ts-expect-error
new Subscription("/events", { transports: ["pigeon"] });
// @ts-expect-error
new Subscription("/events", { onMessage: () => {} });
new Subscription("/events", { headers: new Headers() });
new Subscription("/events", { headers: [["X-Who", "ann"]] });
subscription.close();
"""


@pytest.fixture(scope="module")
def tsc():
    """Runs TypeScript's compiler."""
    node, environment = find_program("node", "nodejs npm"), node_environment()
    compiler = NODE_MODULES / "typescript/bin/tsc"

    def run(*arguments):
        command = [node, compiler, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout

    return run


def test_declarations(tsc, tmp_path):
    """The module passes the type check, and the shipped declarations are generated from it."""
    assert tsc("--project", STATIC, "--declarationDir", tmp_path) == (0, "")
    made = (tmp_path / "tatsumaki.d.ts").read_text()
    assert (STATIC / "tatsumaki.d.ts").read_text() == made, "run make types-js"


def test_use(tsc, tmp_path):
    """A page in strict TypeScript compiles with the configuration that the guide shows.

    The compiler reports the mistakes in the page.
    """
    shutil.copy(STATIC / "tatsumaki.d.ts", tmp_path)
    (tmp_path / "use.ts").write_text(USE)
    guide = (ROOT / "docs/guide/browser.md").read_text().partition("## TypeScript")[2]
    settings = json.loads(re.search(r"```json\n(.*?)```", guide, re.S)[1])
    settings["compilerOptions"] |= {"strict": True, "noEmit": True}
    (tmp_path / "tsconfig.json").write_text(json.dumps(settings))
    assert tsc("--project", tmp_path) == (0, "")
