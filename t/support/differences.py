"""How and why `FastServer` differs from `StrictServer`. Any other difference is a bug.

The guide has the same table for users.
"""

import re

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"
STREAM = b"POST /stream HTTP/1.1\r\nHost: x\r\n"
CODED = b"Transfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"

# Patterns for the words of `first_difference`.
TAKEN = "answered .*"
ANY = ".*"
NOT_REFUSED = "(?!refused).*"


class Difference:
    """One decision.

    `cause` is a regular expression that is searched for in the bytes. `words` are pairs of regular
    expressions for the words of `first_difference`: one for Tornado's server, one for the fast
    server. Each of the `examples` shows the difference, with the expected two words.
    """

    def __init__(self, name, why, cause, words, examples):
        self.name = name
        self.why = why
        self.examples = examples
        self._cause = re.compile(cause, re.DOTALL)
        self._words = words

    def explains(self, data, words):
        """Whether this decision explains the difference `words` for the bytes `data`."""
        return bool(self._cause.search(data)) and any(
            all(re.fullmatch(one, word, re.DOTALL) for one, word in zip(pair, words, strict=True))
            for pair in self._words
        )


DIFFERENCES = [
    Difference(
        "chunk extensions",
        "RFC 9112 section 7.1.1: a recipient must ignore unknown extensions",
        rb"\r\n[0-9a-fA-F]+[ \t]*;",
        [("refused|closed", NOT_REFUSED)],
        {
            HEAD + CODED + b"4;x=y\r\nabcd\r\n0;z\r\n\r\n": ("refused", "answered 200"),
            HEAD + CODED + b'4;x="y;z"\r\nabcd\r\n0\r\n\r\n': ("refused", "answered 200"),
            HEAD + CODED + b"4;" + b"x" * 80 + b"\r\nabcd\r\n0\r\n\r\n": (
                "closed",
                "answered 200",
            ),
        },
    ),
    Difference(
        "trailers",
        "RFC 9112 section 7.1.2: a recipient may drop trailers",
        rb"\r\n0+[ \t]*(;[^\n]*)?\r\n(?!\r\n)",
        [("refused|closed", NOT_REFUSED)],
        {
            HEAD + CODED + b"0\r\nX: y\r\nHost: z\r\n\r\n": ("refused", "answered 200"),
        },
    ),
    Difference(
        "long chunk sizes",
        "a line of a chunked body can have up to 4 KiB, not only 64 bytes",
        rb"[^\r\n]{63}",
        [("closed", ANY)],
        {
            HEAD + CODED + b"0" * 100 + b"4\r\nabcd\r\n0\r\n\r\n": ("closed", "answered 200"),
        },
    ),
    Difference(
        "targets that are a whole URL",
        "RFC 9112 section 3.2.2: a server accepts such a URL, whose host replaces the header Host",
        rb"(?i)https?://",
        [("uri=(?i:https?)://.*", "uri=/.*"), (NOT_REFUSED, "refused")],
        {
            b"GET http://y/z?a HTTP/1.1\r\nHost: x\r\n\r\n": ("uri=http://y/z?a", "uri=/z?a"),
            b"GET http://y HTTP/1.1\r\nHost: x\r\n\r\n": ("uri=http://y", "uri=/"),
            b"GET http://u@y/z HTTP/1.1\r\nHost: x\r\n\r\n": ("answered 200", "refused"),
        },
    ),
    Difference(
        "versions after HTTP/1.1",
        "there is no such version; Tornado accepts any that begins with 1",
        rb"HTTP/1\.[2-9]",
        [(NOT_REFUSED, "refused")],
        {
            b"GET / HTTP/1.2\r\nHost: x\r\n\r\n": ("answered 200", "refused"),
        },
    ),
    Difference(
        "invalid lengths",
        "a handler that streams the body does not begin; on Tornado it begins, and is closed",
        rb"(?i)\n(content-length|transfer-encoding)",
        [("seen closed", "unseen"), ("answered 405", "refused")],
        {
            STREAM + b"Content-Length: +4\r\n\r\nabcd": ("seen closed", "unseen"),
            STREAM + b"Transfer-Encoding: gzip\r\n\r\nabcd": ("seen closed", "unseen"),
        },
    ),
    Difference(
        "a tab after a coding",
        "llhttp refuses the tab; no client sends one",
        rb"(?i)\ntransfer-encoding:[^\n]*\t\r\n",
        [(NOT_REFUSED, "refused")],
        {
            HEAD + b"Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n": ("answered 200", "refused"),
        },
    ),
    Difference(
        "bare LF",
        "a bare LF is refused immediately, not when the head is complete",
        rb"\n",
        [("waits|closed", "refused")],
        {
            b"GET / HTTP/1.1\nHost: x\r\n": ("waits", "refused"),
        },
    ),
    Difference(
        "lists in Connection",
        "RFC 9110 section 7.6.1: the header is a list, in any case; close wins",
        rb"(?i)\nconnection:",
        [(ANY, "closed"), ("closed", ANY)],
        {
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: x, close\r\n\r\n": ("waits", "closed"),
            b"GET / HTTP/1.0\r\nConnection: keep-alive, x\r\n\r\n": ("closed", "waits"),
        },
    ),
    Difference(
        "100 Continue",
        "in any case (RFC 9110 section 10.1.1), but not after the body, nor in HTTP/1.0",
        rb"(?i)\nexpect:",
        [("continues=.*", "continues=.*")],
        {
            HEAD + b"Expect: 100-Continue\r\nContent-Length: 4\r\n\r\n": (
                "continues=0",
                "continues=1",
            ),
            HEAD + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\nabcd": (
                "continues=1",
                "continues=0",
            ),
        },
    ),
    Difference(
        "heads that are too long",
        "answered with 431, instead of a connection that ends without an answer",
        rb".{32768}",
        [("closed", "refused")],
        {
            b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 33_000: ("closed", "refused"),
        },
    ),
]
