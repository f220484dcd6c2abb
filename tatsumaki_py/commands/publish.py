"""The command ``tatsumaki publish``: publish from a shell.

tatsumaki publish news '{"text": "hello"}' --engine redis://127.0.0.1:6379/0
tail -f log.ndjson | tatsumaki publish log - --url http://127.0.0.1:5000/publish/log
tatsumaki publish answer/7 --end --engine redis://127.0.0.1:6379/0
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator

from tatsumaki_py.commands.parser import (
    Parser,
    ReaderGone,
    add_headers,
    end_quietly,
    not_empty,
    write_out,
)
from tatsumaki_py.error import HTTPError
from tatsumaki_py.message_queue.engine import EngineError
from tatsumaki_py.message_queue.engine.choose import VARIABLE
from tatsumaki_py.message_queue.engine.redis.calls import MAX_EVENTS
from tatsumaki_py.message_queue.event_json import checked_json
from tatsumaki_py.publisher import Publisher

__all__ = ["main", "make_parser"]

PIECE = 256 * 1024
"""Bytes to read in one call; the lines in them are published together."""
BATCH = 1024 * 1024
"""Maximum bytes of events that are published together, unless one event is larger."""


def main(arguments: list[str], prog: str) -> None:
    """Run the command. Prints one line to stderr and exits with status 1 if an event is not
    published, with status 2 if the command line is wrong.
    """
    parser = make_parser(prog)
    options = parser.parse_args(arguments)
    if (options.json is None) != options.end:
        parser.error("give the JSON of an event, or --end")
    if options.end and options.key is not None:
        parser.error("--key needs an event")
    several = options.json == "-"
    if several and options.idempotency_key is not None:
        parser.error("--idempotency-key needs a single event")
    if several and sys.stdin is None:
        parser.fail("stdin is closed")

    # The line on stderr reports it.
    logging.getLogger("tatsumaki").addHandler(logging.NullHandler())

    def send(*bodies: bytes) -> None:
        if options.end:
            ids = publisher.end(options.channel, idempotency_key=options.idempotency_key)
        else:
            ids = publisher.publish_json(
                options.channel, *bodies, key=options.key, idempotency_key=options.idempotency_key
            )
        # A parent process may have closed it.
        if sys.stdout is not None:
            write_out("".join(f"{id}\n" for id in ids).encode())

    try:
        with _publisher(parser, options) as publisher:
            if options.end:
                send()
            elif several:
                _send_lines(send, publisher.max_event_size)
            else:
                send(checked_json(os.fsencode(options.json)))
    except HTTPError as error:
        parser.fail(f"{error.code} {error}")
    except (EngineError, TypeError, ValueError) as error:
        parser.fail(str(error))
    except KeyboardInterrupt:
        end_quietly(signal.SIGINT)
    except ReaderGone:
        end_quietly(signal.SIGPIPE)
    except OSError as error:
        parser.fail(error.strerror or str(error))


def make_parser(prog: str) -> Parser:
    parser = Parser(prog=prog, description="Publish an event or end a channel, and print the id.")
    add = parser.add_argument
    add("channel", type=not_empty, help="name of the channel")
    add("json", nargs="?", help="the event as JSON; or - to publish each line of stdin")
    add("--end", action="store_true", help="end the channel, in place of an event")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--engine",
        type=not_empty,
        metavar="URL",
        help=f"URL of a Redis engine (default: {VARIABLE} in the environment)",
    )
    where.add_argument(
        "--url",
        type=not_empty,
        help="URL of a PublishHandler; {channel} in it is replaced by the channel",
    )
    add(
        "--key",
        metavar="KEY",
        help="what the event is about; a new client gets only the last event of each key",
    )
    add(
        "--idempotency-key",
        metavar="KEY",
        help="idempotency key of the event; within 5 minutes, the event is published only once "
        "under this key",
    )
    add(
        "--timeout",
        type=_seconds,
        metavar="SECONDS",
        help="how long to retry while the server is unavailable, from 0.05 to 300 (default: 5)",
    )
    add_headers(parser)
    return parser


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0.05 <= (seconds := float(text)) <= 300:
            return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0.05 to 300")


def _publisher(parser: Parser, options: argparse.Namespace) -> Publisher:
    url = options.url or options.engine
    if not (url or os.environ.get(VARIABLE)):
        parser.error(f"--url or --engine is missing, or {VARIABLE} in the environment")
    try:
        return Publisher(url, publish_timeout=options.timeout, headers=dict(options.header))
    except EngineError as error:
        parser.fail(str(error))
    except (TypeError, ValueError) as error:
        flag = "--url" if options.url else "--engine" if options.engine else VARIABLE
        parser.error(f"{flag}: {error}")


def _send_lines(send: Callable[..., None], max_size: int) -> None:
    """Publish the lines of stdin, and lines that arrive together in one call."""
    number = 0
    for lines in _pieces(max_size):
        batch: list[bytes] = []
        try:
            for line in lines:
                number += 1
                if not line.strip():
                    continue
                if len(batch) == MAX_EVENTS or sum(map(len, batch)) + len(line) > BATCH:
                    full, batch = batch, []
                    send(*full)
                try:
                    batch.append(checked_json(line))
                except ValueError as error:
                    raise ValueError(f"line {number}: {error}") from None
        finally:
            if batch:
                send(*batch)


def _pieces(max_size: int) -> Iterator[list[bytes]]:
    """Lines of stdin, as they arrive."""
    rest = b""
    while piece := os.read(sys.stdin.fileno(), PIECE):
        *lines, rest = (rest + piece).split(b"\n")
        yield lines
        if len(rest) > max_size:
            raise ValueError(f"a line of stdin has more than {max_size} bytes")
    yield [rest]
