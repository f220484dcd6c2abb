"""The pages, the docstrings and the comments avoid phrases over which readers have stumbled."""

import re

import pytest
from support.program import ROOT

FOLDERS = ("tatsumaki_py", "docs", "examples", "bench", "t")
# Each phrase, and what to write instead.
PHRASES = {
    r"time-outs?": "timeout",
    r"for ever": "forever",
    r"anew": "again",
    r"who(?:ever|m)": "a sentence that names its subject",
    r"(?:no|some|every)body (?!may\b)\w+s": "a sentence that names its subject",
    r"(?:is|are|was|were) told so": "the fact that is told",
    r"so (?:is|are|does|do|has|can) (?:the|a|an|its|those|each|every|all|both)": "a verb",
    r"from [\d`]+ on": "or more, or later, starting at",
    r"by (?:itself|themselves)": "automatically, or itself",
    r"by (?:TLS|SSE|WebSockets?)": "over",
    r"turn(?:s|ed|ing)? (?:the|a) clock": "advance",
    r"engine in (?:memory|Redis|a file)": "in-memory engine, Redis engine, SQLite engine",
    r"pages? of (?:an)?other origins?": "from",
    r"is a (?:str|number|list|dict|bool), not": "must be",
    r"let(?:s|ting)? go of": "close, free, drop",
}


def markdown(text):
    """The prose of a page: without blocks of code and without inline code."""
    text = re.sub(r"^ *```.*?^ *```", "", text, flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "`", text)


def python(text):
    """The docstrings and the comments of a program."""
    found = re.findall(r'"""(.*?)"""|(?:^|\s)# (.*?)$', text, re.M | re.S)
    return "\n".join(docstring or comment for docstring, comment in found)


def stumbles(prose):
    """The phrases in `prose`, each with the words around it and the words to write instead."""
    prose = " ".join(prose.split())
    for phrase, instead in PHRASES.items():
        for match in re.finditer(rf"\b(?:{phrase})\b", prose, re.I):
            around = prose[max(match.start() - 40, 0) : match.end() + 40]
            yield f"{around!r}: write {instead}"


@pytest.mark.parametrize(("ending", "read"), [("md", markdown), ("py", python)])
def test_no_phrase(ending, read):
    """No page, docstring or comment contains one of the phrases."""
    files = [file for folder in FOLDERS for file in (ROOT / folder).rglob(f"*.{ending}")]
    files += ROOT.glob(f"*.{ending}")
    assert files
    found = [
        f"{file.relative_to(ROOT)}: {line}"
        for file in files
        if file.name != "test_plain_english.py"
        for line in stumbles(read(file.read_text()))
    ]
    assert found == []


def test_a_phrase():
    """Each phrase is found, in a page and in a comment, but not in code."""
    assert len(list(stumbles("The client waits for ever,\nand is told so."))) == 2
    assert list(stumbles(markdown("Call `for ever`.\n```\nfor ever\n```\n"))) == []
    assert len(list(stumbles(python('x = "for ever"  # for ever\n')))) == 1
