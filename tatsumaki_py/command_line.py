"""The command ``tatsumaki``, or ``python -m tatsumaki_py``.

    tatsumaki --host 0.0.0.0 --port 8000 app.py
    tatsumaki publish news '{"text": "hello"}' --engine redis://127.0.0.1:6379/0

A subcommand is imported when it runs, because only ``serve``, the default, needs the server.
"""

from __future__ import annotations

import sys
from importlib import import_module

from tatsumaki_py.commands import NAMES

__all__ = ["main"]


def main(arguments: list[str] | None = None, prog: str = "tatsumaki") -> None:
    """Run the command. A bad argument prints one line to stderr and exits with status 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    name = "serve"
    if arguments and arguments[0] in NAMES:
        name, *arguments = arguments
        prog += f" {name}"
    import_module(f"tatsumaki_py.commands.{name}").main(arguments, prog)
