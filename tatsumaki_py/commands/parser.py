"""Functions for all commands."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import Any, NoReturn

from tatsumaki_py.control_characters import escape_controls
from tatsumaki_py.http_client_request import header_fields

__all__ = ["Parser", "ReaderGone", "add_headers", "end_quietly", "not_empty", "write_out"]


class Parser(argparse.ArgumentParser):
    """Reports an error in one line, and rejects abbreviated flags."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        self.fail(message, 2)

    def fail(self, message: str, status: int = 1) -> NoReturn:
        """End the program with one line on stderr."""
        self.exit(status, f"{self.prog}: {escape_controls(message)}\n")


def add_headers(parser: Parser) -> None:
    """Add the flag ``--header``, which may be repeated. Its value is a list of pairs."""
    parser.add_argument(
        "--header",
        action="append",
        default=[],
        type=_header,
        metavar="'NAME: VALUE'",
        help="header of each request; may be repeated",
    )


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        # The text may be secret, so it is not shown.
        raise argparse.ArgumentTypeError("a header must have the form 'NAME: VALUE'")
    field = name.strip(), value.strip()
    try:
        header_fields(dict([field]))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return field


def not_empty(text: str) -> str:
    """`text`, the value of a flag. Refuses "", which would otherwise count as a missing value."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty: is a shell variable not set?")
    return text


def end_quietly(number: signal.Signals) -> NoReturn:
    """End the program as a signal would: SIGINT after Ctrl-C, SIGPIPE if the reader of stdout is
    gone.
    """
    sys.exit(128 + number)


class ReaderGone(Exception):
    """The reader of stdout is gone."""


def write_out(data: bytes) -> None:
    """Write to stdout. Raises `ReaderGone`, or `ValueError` with one line if the write fails, for
    example because the disk is full.
    """
    try:
        # Unbuffered, because Python would try again to write the buffer when it exits.
        while data:
            data = data[os.write(sys.stdout.fileno(), data) :]
    except BrokenPipeError:
        raise ReaderGone from None
    except OSError as error:
        raise ValueError(f"stdout: {error.strerror or error}") from None
