"""The program that runs: the file whose directory holds its templates and static files."""

from __future__ import annotations

import os
import sys

__all__ = ["SERVED_FILE", "beside_the_program"]

SERVED_FILE = "__tatsumaki_app__"
"""The name of the module that ``python -m tatsumaki_py`` makes of the file that it serves."""


def beside_the_program(name: str) -> str | None:
    """The directory of that name beside the file that was run."""
    module = sys.modules.get(SERVED_FILE) or sys.modules.get("__main__")
    # An interactive program has no file.
    program = getattr(module, "__file__", None)
    path = os.path.join(os.path.dirname(os.path.abspath(program)), name) if program else ""
    return path if os.path.isdir(path) else None
