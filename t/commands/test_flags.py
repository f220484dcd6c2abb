"""The table of flags is complete."""

import re

from support.program import ROOT

from tatsumaki_py.commands import publish, subscribe

PAGE = (ROOT / "docs/guide/publishing.md").read_text()


def test_flags():
    """Every flag of both commands, and the command that has it."""
    table = PAGE.partition("| flag | command | |\n|---|---|---|\n")[2].partition("\n\n")[0]
    rows = [
        re.findall(r"`(--[\w-]+)|(both|`publish`|`subscribe`) \|", row) for row in table.split("\n")
    ]
    documented = {flag: command.strip("`") for (flag, _), (_, command) in rows}
    flags = {}
    for name, module in (("publish", publish), ("subscribe", subscribe)):
        for action in module.make_parser(name)._actions:
            for flag in action.option_strings:
                flags[flag] = "both" if flag in flags else name
    del flags["-h"], flags["--help"]
    assert documented == flags
