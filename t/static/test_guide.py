"""The program in the guide does what the guide says."""

import re
import urllib.request

from playwright.sync_api import expect
from support.program import ROOT

GUIDE = ROOT / "docs/guide/browser.md"


def test_the_whole_of_it(serve_program, page, tmp_path):
    """The page shows events that are published after it was rendered, and none from before."""
    path = tmp_path / "news.py"
    path.write_text(re.search(r"```python\n(.*?)```", GUIDE.read_text(), re.S)[1])
    program = serve_program(path)
    page.route("**/favicon.ico", lambda route: route.fulfill(status=204))

    def publish(text):
        urllib.request.urlopen(f"{program.url}publish/news", f"text={text}".encode()).close()

    publish("before")
    page.goto(program.url)
    expect(page.locator("#state")).to_have_text("open, sse")
    publish("hello")
    expect(page.get_by_role("listitem")).to_have_text(["hello"])


def test_every_option_is_named():
    """The guide's table names every option that the module's types have."""
    options = re.findall(
        r"@property \{.*\} \[(\w+)\]", (ROOT / "tatsumaki_py/static/tatsumaki.js").read_text()
    )
    table = GUIDE.read_text().split("## Options")[1]
    assert options
    assert [name for name in options if name not in table] == []
