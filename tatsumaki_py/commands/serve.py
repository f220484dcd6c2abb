"""The command ``tatsumaki app.py``: serve the application of a file.

    tatsumaki --host 0.0.0.0 --port 8000 app.py

Source: ``plackup``.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import math
import platform
import re
import ssl
import sys
import traceback
from collections.abc import Callable, Iterable
from typing import NoReturn, TypeVar, cast

import tornado
import tornado.autoreload
import tornado.web
from tornado.log import access_log
from tornado.netutil import ssl_options_to_context

from tatsumaki_py import __version__
from tatsumaki_py.commands import NAMES
from tatsumaki_py.commands.parser import Parser
from tatsumaki_py.life import StartError, current_loop
from tatsumaki_py.logger import log_to_stderr
from tatsumaki_py.program import LoadError
from tatsumaki_py.served_app import load
from tatsumaki_py.server import Server
from tatsumaki_py.server.addresses import HOST, PORT, VARIABLES
from tatsumaki_py.server.forking import PROCESSES, ProcessesError, process_count

__all__ = ["main", "make_parser"]

Number = TypeVar("Number", int, float)

LEVELS = ("debug", "info", "warning", "error", "critical")


def main(arguments: list[str], prog: str) -> None:
    """Run the command. A bad value prints one line to stderr and exits with status 2."""
    parser = make_parser(prog)
    options = vars(parser.parse_args(arguments))
    target, reload, log_level, access = (
        options.pop(name) for name in ("app", "reload", "log_level", "access_log")
    )
    # All other options have their defaults in `Server`.
    given = {name: value for name, value in options.items() if value is not None}
    try:
        if "mode" in given and "unix" not in given:
            raise ValueError("mode= needs unix=")
        given["ssl_options"] = _tls(given.pop("cert", None), given.pop("key", None))
        server = Server(**given)
        if reload and (count := process_count(options["processes"])) != 1:
            raise ValueError(f"--reload needs one process, not {count}")
    except (ValueError, ProcessesError) as error:
        parser.error(_by_flags(str(error), options))
    server._addresses.argument = "--{}"
    try:
        app = load(target)
    except LoadError as error:
        parser.error(str(error))
    except Exception as error:
        if not reload:
            raise
        _wait_for_a_change(error)
    # The file may have set up logging.
    log_to_stderr()
    if log_level is not None:
        logging.getLogger().setLevel(log_level.upper())
    if access is not None:
        access_log.disabled = not access
    if reload:
        # Otherwise, Tornado's autoreload would make the loop, with a warning on Python 3.12 and
        # 3.13.
        current_loop()
        tornado.autoreload.start()
    try:
        server.run(cast(tornado.web.Application, app))
    except SystemExit as error:
        reason = error.__context__
        if not (reload and isinstance(reason, StartError)):
            raise
        _wait_for_a_change(reason)


def _by_flags(text: str, options: Iterable[str]) -> str:
    """An error of `Server`, with the flags in place of the arguments."""
    for name in options:
        text = re.sub(rf"\b{name}=", f"--{name.replace('_', '-')}", text)
    return text


def make_parser(prog: str = "tatsumaki") -> argparse.ArgumentParser:
    """The parser. The flags for `Server` have the names of its arguments, and no default here."""
    parser = Parser(
        prog=prog,
        description="Serve the application of a Python file.",
        epilog=f"Other commands: {', '.join(f'{prog} {name} --help' for name in NAMES)}.",
    )
    add = parser.add_argument
    add("app", help="app.py with an application `app`; or app.py:name, module, module:name")
    add(
        "-o",
        "--host",
        action="append",
        help="name or address; may be given several times "
        f"(default: {' or '.join(VARIABLES['host'])} in the environment, else {HOST})",
    )
    add(
        "-p",
        "--port",
        type=_number(int, 65535, "a number from 0 to 65535"),
        help="port; 0 for any free port "
        f"(default: {' or '.join(VARIABLES['port'])} in the environment, else {PORT})",
    )
    add(
        "--unix",
        metavar="PATH",
        help="Unix socket; without --host and --port, the only address",
    )
    add("--mode", type=_mode, help="permissions of the socket's file, in octal (default: 660)")
    add(
        "--reuse-port",
        action="store_true",
        default=None,
        help="let other processes listen on the same port",
    )
    add(
        "--processes",
        type=_number(int, 1000, "a number from 0 to 1000"),
        metavar="COUNT",
        help="worker processes, which must share an engine; 0 for one per core "
        f"(default: {PROCESSES} in the environment, else 1)",
    )
    add("--reload", action="store_true", help="restart when a file of the program changes")
    add(
        "--xheaders",
        action="store_true",
        default=None,
        help="trust a proxy's X-Real-IP, X-Forwarded-For, X-Scheme and X-Forwarded-Proto",
    )
    add("--cert", metavar="PATH", help="certificate (PEM), for https")
    add("--key", metavar="PATH", help="key of the certificate (PEM)")
    seconds = _number(float, math.inf, "a number of seconds")
    add(
        "--grace",
        type=seconds,
        metavar="SECONDS",
        help="seconds for requests to finish when the server stops (default: 10)",
    )
    add(
        "--drain-delay",
        type=seconds,
        metavar="SECONDS",
        help="seconds for which health checks fail before a stop (default: 0)",
    )
    add(
        "--drain-time",
        type=seconds,
        metavar="SECONDS",
        help="maximum seconds over which waiting clients reconnect after a stop (default: 30)",
    )
    add(
        "--log-level", type=str.lower, choices=LEVELS, help="level of the whole log (default: info)"
    )
    add(
        "--access-log",
        action=argparse.BooleanOptionalAction,
        help="log a line for each request (default: yes)",
    )
    add(
        "--version",
        action="version",
        version=f"tatsumaki_py {__version__} "
        f"(Tornado {tornado.version}, Python {platform.python_version()})",
    )
    return parser


def _number(kind: type[Number], most: float, what: str) -> Callable[[str], Number]:
    def convert(text: str) -> Number:
        with contextlib.suppress(ValueError):
            number = kind(text)
            if 0 <= number <= most and math.isfinite(number):
                return number
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")

    return convert


def _mode(text: str) -> int:
    with contextlib.suppress(ValueError):
        if 0 <= (mode := int(text, 8)) <= 0o777:
            return mode
    raise argparse.ArgumentTypeError(f"permissions must be in octal, such as 660, not {text!r}")


def _tls(cert: str | None, key: str | None) -> ssl.SSLContext | None:
    """The TLS context of these files. Raises `ValueError` with one line if they are unusable."""
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        raise ValueError("--cert and --key go together")
    for flag, path in (("--cert", cert), ("--key", key)):
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise ValueError(f"{flag} {path} cannot be read: {error.strerror}") from None
    context = ssl_options_to_context({}, server_side=True)
    try:
        context.load_cert_chain(cert, key, _no_password)
    except ssl.SSLError as error:
        reason = error.reason or "not in PEM format"
        if reason == "KEY_VALUES_MISMATCH":
            reason = "the key belongs to another certificate"
        raise ValueError(f"--cert {cert} and --key {key} cannot be used: {reason}") from None
    return context


def _no_password() -> str:
    # Without this, OpenSSL would ask for the passphrase on the terminal.
    raise ValueError("the key of --key is encrypted: decrypt it with openssl pkey")


def _wait_for_a_change(error: Exception) -> NoReturn:
    """After a failed start, wait until a file of the program changes, and restart the program."""
    traceback.print_exception(error)
    log_to_stderr()
    for frame, _ in traceback.walk_tb(error.__traceback__):
        tornado.autoreload.watch(frame.f_code.co_filename)
    if isinstance(error, SyntaxError) and error.filename is not None:
        tornado.autoreload.watch(error.filename)
    with contextlib.suppress(KeyboardInterrupt):
        tornado.autoreload.wait()
    sys.exit(1)
