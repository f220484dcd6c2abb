"""Checks that code in a page of the documentation is taken from a program."""

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]


def assert_excerpts(page, *programs, languages=("py", "html", "js", "text")):
    """Fails unless one of the programs contains each paragraph of code in these languages.

    Indentation is ignored. `page` and `programs` are paths from the root. Code that runs alone is
    in blocks of the language ``python``; pieces of a program are in blocks of the language ``py``.
    """
    texts = [_unindented((ROOT / path).read_text()) for path in programs]
    pattern = rf"^```(?:{'|'.join(languages)})\n(.*?)^```"
    blocks = re.findall(pattern, (ROOT / page).read_text(), re.M | re.S)
    assert blocks
    for block in blocks:
        for paragraph in re.split(r"\n\n+", block.strip("\n")):
            lines = _unindented(paragraph)
            # A substring: text in quotes begins and ends in the middle of a line.
            assert any(lines in text for text in texts), paragraph


def _unindented(text):
    return "\n".join(line.strip() for line in textwrap.dedent(text).split("\n"))
