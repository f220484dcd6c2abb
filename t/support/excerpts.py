"""Code in a page of the documentation that is taken from a program."""

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]


def assert_excerpts(page, *programs, languages=("py", "html", "js", "text")):
    """Each paragraph of code in these languages, however far it is indented, is in a program.

    `page` and `programs` are paths from the root. A page has code that runs by itself in blocks of
    the language ``python``, and pieces of a program in blocks of the language ``py``.
    """
    texts = [_unindented((ROOT / path).read_text()) for path in programs]
    pattern = rf"^```(?:{'|'.join(languages)})\n(.*?)^```"
    blocks = re.findall(pattern, (ROOT / page).read_text(), re.M | re.S)
    assert blocks
    for block in blocks:
        for paragraph in re.split(r"\n\n+", block.strip("\n")):
            lines = _unindented(paragraph)
            # Text in quotes begins and ends in the middle of a line.
            assert any(lines in text for text in texts), paragraph


def _unindented(text):
    return "\n".join(line.strip() for line in textwrap.dedent(text).split("\n"))
