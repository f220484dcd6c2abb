"""Forms: recognizes the bodies that are forms, and lets Tornado parse their fields and files.

Rule: a body is parsed only after a check that parsing will not block the loop for long.
"""

from __future__ import annotations

from tornado.httputil import HTTPFile, HTTPHeaders, HTTPInputError, parse_body_arguments

from tatsumaki_py.charset import names_charset
from tatsumaki_py.content_type import media_type, parameter
from tatsumaki_py.control_characters import escape_controls
from tatsumaki_py.error import HTTPError

__all__ = ["FORMS", "MULTIPART", "URLENCODED", "parse"]

URLENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"
FORMS = (URLENCODED, MULTIPART)
"""The media types of forms."""

# Parsing a form at one of these limits takes about 30 ms. They count the escapes (`%41`, `+`) of an
# urlencoded form, and the bytes in the boundaries and heads of a multipart form.
MAX_ESCAPES = 1_000_000
MAX_HEADS = 100_000


def parse(
    headers: HTTPHeaders, body: bytes
) -> tuple[dict[str, list[bytes]], dict[str, list[HTTPFile]]]:
    """The fields and the files of the form in `body`; none if the body is not a form.

    Raises `Error.HTTP`: 400 for a form that cannot be read, 413 for a form that would take too long
    to read, 415 for a ``Content-Encoding``.
    """
    fields: dict[str, list[bytes]] = {}
    files: dict[str, list[HTTPFile]] = {}
    content_type = headers.get("Content-Type", "")
    kind = media_type(content_type)
    if kind not in FORMS:
        return fields, files
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise HTTPError(415, "a form with a Content-Encoding cannot be read")
    if kind == MULTIPART:
        boundary = parameter(content_type, "boundary") or ""
        if _heads(body, boundary) > MAX_HEADS:
            raise HTTPError(413, f"more than {MAX_HEADS} bytes in the heads of one form")
        if names_charset(body):
            raise HTTPError(400, "the names in a form must be in UTF-8")
        # Tornado finds the parameter only in lower case.
        kind = f"{kind}; boundary={boundary}"
    elif body.count(b"%") + body.count(b"+") > MAX_ESCAPES:
        raise HTTPError(413, f"more than {MAX_ESCAPES} escapes in one form")
    try:
        parse_body_arguments(kind, body, fields, files)
    except HTTPInputError as error:
        raise HTTPError(400, escape_controls(str(error))) from None
    return fields, files


def _heads(body: bytes, boundary: str) -> int:
    """Bytes in the boundaries and heads of the parts. Counting stops soon after `MAX_HEADS`."""
    mark = b"--%b\r\n" % boundary.encode()
    size, begin = 0, body.find(mark)
    while begin != -1 and size <= MAX_HEADS:
        begin += len(mark)
        after = body.find(mark, begin)
        last = min(begin + MAX_HEADS, len(body) if after == -1 else after)
        end = body.find(b"\r\n\r\n", begin, last)
        size += len(mark) + (last if end == -1 else end) - begin
        begin = after
    return size
