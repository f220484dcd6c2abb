"""Adapts the links of the pages to the site. The links are written for a checkout, and some lead
to files outside of ``docs``.

Links to files become downloads. Links to folders become text.
"""

import os
import re
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
PAGES = {
    "README.md": "index.md",
    "CHANGES.md": "changes.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""Files beside ``docs``, and the pages that include them."""

_INCLUDE = re.compile(r"^```\{include\} (\S+)\n```$", re.M)
_LINK = re.compile(r"(!?\[((?:[^\[\]]|\[[^\]]*\])*)\]\()([^)#:\s]+)(#[^)]*)?\)")


def _read(app: Sphinx, docname: str, content: list[str]) -> None:
    page = Path(app.env.doc2path(docname))
    if page.suffix != ".md":
        return

    def include(match: re.Match[str]) -> str:
        included = (page.parent / match[1]).resolve()
        app.env.note_dependency(str(included))
        return _relinked(included.read_text(), included.parent, page.parent)

    content[0] = _INCLUDE.sub(include, _relinked(content[0], page.parent, page.parent))


def _relinked(text: str, base: Path, folder: Path) -> str:
    """Return `text` with its links relative to `folder` instead of `base`."""

    def relink(match: re.Match[str]) -> str:
        begin, words, link, place = match.groups()
        target = (base / link).resolve()
        if not target.exists():
            return match[0]
        if target.parent == ROOT and target.name in PAGES:
            target = ROOT / "docs" / PAGES[target.name]
        if target.is_dir():
            return words
        return f"{begin}{os.path.relpath(target, folder)}{place or ''})"

    return _LINK.sub(relink, text)


class _Plain(TextLexer):
    name = "Configuration that Pygments does not know"
    aliases = ("caddy", "caddyfile", "haproxy")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", _read)
    app.add_lexer("haproxy", _Plain)
    return {"parallel_read_safe": True}
