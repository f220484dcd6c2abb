"""The module's types, as an editor of a page's author sees them."""

import os
import shutil
import subprocess

import pytest
from support.program import ROOT

MODULE = ROOT / "tatsumaki_py/static/tatsumaki.js"
OPTIONS = """--strict --noEmit --target es2022 --module es2022 --moduleResolution bundler --allowJs
--checkJs --noUnusedLocals --noUnusedParameters --lib es2022,dom"""
USE = """
import { Subscription } from "./tatsumaki.js";

const subscription = new Subscription(new URL("https://a.example/events"), {
  onEvent: (data, { id, channel }) => console.log(data.anything, id.length, channel?.length),
  onGap: ({ after, id }) => console.log(after.length + id.length),
  onState: (state, { transport, error, until }) => {
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


def test_types(tmp_path):
    """The module is well typed, and what it gives to a page is what the guide says.

    npm has to bring TypeScript's compiler.
    """
    shutil.copy(MODULE, tmp_path)
    use = tmp_path / "use.ts"
    use.write_text(USE)
    npx = ["npx", "--yes", "--prefer-offline", "--package", "typescript@5", "tsc"]
    tsc = shutil.which("npx") and subprocess.run(
        [*npx, *OPTIONS.split(), use], capture_output=True, text=True
    )
    if not tsc or "npm error" in tsc.stderr:
        message = "NO TYPESCRIPT: tatsumaki.js was not checked (Debian: apt install npm)"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    assert tsc.stdout == ""
    assert tsc.returncode == 0
