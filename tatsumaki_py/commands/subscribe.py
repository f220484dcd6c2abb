"""The command ``tatsumaki subscribe``: print the events of a `SubscribeHandler`, one line each.

    tatsumaki subscribe http://127.0.0.1:5000/events/news

Rules:
1. A line is printed completely or not at all, and the cursor moves only after the line is printed.
2. After a connection has ended, the command reconnects with the cursor. Without ``--count``, it
   ends only after an answer that a retry would not change: 204 (the channel has ended), a refusal,
   or something other than events.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import select
import signal
import sys
import time
from http.client import HTTPResponse
from typing import Any

from tatsumaki_py.blocking_http import FAULTS, Target, explained, refusal, retry_after
from tatsumaki_py.commands.parser import (
    Parser,
    ReaderGone,
    add_headers,
    end_quietly,
    not_empty,
    write_out,
)
from tatsumaki_py.content_type import media_type

__all__ = ["main", "make_parser"]

NDJSON = "application/x-ndjson"
SILENCE = 75.0
"""Seconds without a byte after which a connection counts as lost: three heartbeats."""
FIRST, LONGEST = 0.5, 15.0
"""Seconds of the first and of the longest pause before reconnecting. Each pause is twice as long as
the one before.
"""
PIECE = 256 * 1024
"""Bytes to read in one call."""
MAX_LINE = 64 * 1024 * 1024
NO_EVENTS = "the answer does not come from a SubscribeHandler: check the URL"


def main(arguments: list[str], prog: str) -> None:
    """Run the command. Prints one line to stderr and exits with status 1 if the server refuses the
    request, with status 2 if the command line is wrong.
    """
    parser = make_parser(prog)
    options = parser.parse_args(arguments)
    if sys.stdout is None:
        parser.fail("stdout is closed")
    try:
        headers = {"User-Agent": "tatsumaki_py", "Accept": NDJSON} | dict(options.header)
        target = Target(options.url, headers)
    except ValueError as error:
        parser.error(str(error))
    try:
        _Subscription(target, options.last_event_id, options.count, prog).run()
    except (_Refused, ValueError) as error:
        parser.fail(str(error))
    except KeyboardInterrupt:
        end_quietly(signal.SIGINT)
    except ReaderGone:
        end_quietly(signal.SIGPIPE)


def make_parser(prog: str) -> Parser:
    parser = Parser(
        prog=prog,
        description="Print the events of a SubscribeHandler, one line of JSON each. "
        "After a lost connection it resumes where it left off.",
    )
    add = parser.add_argument
    add("url", type=not_empty, help="URL of a SubscribeHandler, with its query")
    add("--last-event-id", metavar="ID", help="start after this event")
    add("--count", type=_count, metavar="N", help="exit after N lines")
    add_headers(parser)
    return parser


def _count(text: str) -> int:
    with contextlib.suppress(ValueError):
        if (count := int(text)) > 0:
            return count
    raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")


class _Refused(Exception):
    """The server permanently refuses to send events. The text is one line."""


class _Subscription:
    """Prints events as they arrive.

    Args:
        target: the URL of the events.
        cursor: the id of the event after which it begins; None for a new client.
        count: lines after which it ends; None for no limit.
        prog: the beginning of each line on stderr.
    """

    def __init__(self, target: Target, cursor: str | None, count: int | None, prog: str) -> None:
        self._target = target
        self._cursor = cursor
        self._left = count
        self._prog = prog
        self._pause = FIRST
        self._told = False
        # Seconds that the server asks for before the next connection.
        self._wait: float = 0

    def run(self) -> None:
        """Print events until `count` lines are printed or the channel has ended. Raises `_Refused`
        or `ReaderGone`.
        """
        while True:
            self._wait = 0
            reason = self._connect()
            if self._left == 0:
                return
            if reason and not self._told:
                self._told = True
                print(f"{self._prog}: {reason}; reconnecting", file=sys.stderr)
            _check_reader()
            time.sleep(max(self._wait, self._pause * random.uniform(0.5, 1)))
            self._pause = min(2 * self._pause, LONGEST)

    def _connect(self) -> str:
        """Print the events of one connection. Returns the reason if the connection failed; "" if it
        ended normally.
        """
        connection = self._target.connection(SILENCE)
        headers = self._target.headers
        if self._cursor is not None:
            headers = headers | {"Last-Event-ID": self._cursor}
        try:
            connection.request("GET", self._target.path, headers=headers)
            with connection.getresponse() as response:
                if response.status == 204:
                    self._left = 0
                    return ""
                if response.status != 200:
                    return self._refused(response)
                if media_type(response.getheader("Content-Type", "")) != NDJSON:
                    raise _Refused(NO_EVENTS)
                if self._cursor is None:
                    self._cursor = response.getheader("Last-Event-ID")
                self._told = False
                self._read(response)
        except FAULTS as error:
            return explained(error)
        finally:
            connection.close()
        return ""

    def _refused(self, response: HTTPResponse) -> str:
        text = f"{response.status} {refusal(response)}"
        if response.status < 500 and response.status != 429:
            raise _Refused(text)
        self._wait = retry_after(response)
        return text

    def _read(self, response: HTTPResponse) -> None:
        """Print the events of an answer until it ends. Raises one of `FAULTS` if it breaks off."""
        rest = bytearray()
        while self._left != 0 and (piece := response.read1(PIECE)):
            self._pause = FIRST
            end = piece.rfind(b"\n") + 1
            rest += piece[:end]
            if end:
                self._print(bytes(rest).split(b"\n")[:-1])
                rest.clear()
            rest += piece[end:]
            if len(rest) > MAX_LINE:
                raise _Refused(f"a line has more than {MAX_LINE} bytes")

    def _print(self, lines: list[bytes]) -> None:
        cursor = self._cursor
        out: list[bytes] = []
        for line in lines:
            message = _parsed(line)
            if message.keys() <= {"id", "retry"}:
                # Only a cursor, which is also the heartbeat.
                if "retry" in message:
                    self._wait = message["retry"] / 1000
            elif self._left == len(out):
                break
            else:
                out.append(line + b"\n")
            cursor = message.get("id") or cursor
        _check_reader()
        write_out(b"".join(out))
        self._cursor = cursor
        if self._left is not None:
            self._left -= len(out)


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except ValueError:
        message = None
    if (
        not isinstance(message, dict)
        or not isinstance(message.get("id", ""), str)
        or type(message.get("retry", 0)) is not int
    ):
        raise _Refused(NO_EVENTS)
    return message


def _check_reader() -> None:
    """Raise `ReaderGone` if the reader of stdout is gone."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    if poll.poll(0):
        raise ReaderGone
