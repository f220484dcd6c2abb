"""Charsets that a client or another server names.

Rule: such a name reaches Python's codecs only if it is one of the spellings known here, because
Python caches every name that it looks up, even an unknown one, and never frees it.
"""

from __future__ import annotations

import encodings
import re
from encodings.aliases import aliases
from pkgutil import iter_modules

__all__ = ["codec", "names_charset"]

_CODECS = {module.name: module.name for module in iter_modules(encodings.__path__)} | aliases
# Codecs to refuse, because they do not decode text or no page uses them; some take quadratic time.
_NO_CHARSET = re.compile(
    r"\w+_codec|\w*unicode_escape|aliases|charmap|idna|mbcs|oem|punycode|rot_13|undefined"
)
# The Content-Disposition of a part of a multipart form, with its continuation lines; its parameters
# that Tornado decodes by RFC 2231; and those parameters whose charset needs no look-up by name.
_DISPOSITION = re.compile(rb"(?i)\ncontent-disposition[ \t]*:((?:[^\r\n]|\r?\n[ \t])*)")
_EXTENDED = re.compile(rb';([^="]*\*[^="]*=[^;]*)')
_KNOWN = re.compile(rb"(?i)\s*[a-z]+\*\s*=\s*\"?(?:utf-8|iso-8859-1|us-ascii)'[^']*'")


def codec(charset: str) -> str | None:
    """The name of Python's codec for a charset; None if there is no such codec."""
    name = _CODECS.get(encodings.normalize_encoding(charset).lower())
    return None if name is None or _NO_CHARSET.fullmatch(name) else name


def names_charset(form: bytes) -> bool:
    """Whether a name in a multipart form is in a charset other than UTF-8 and Latin-1."""
    return any(
        not _KNOWN.match(parameter)
        for disposition in _DISPOSITION.finditer(form)
        for parameter in _EXTENDED.findall(disposition[1])
    )
