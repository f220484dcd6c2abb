"""The program: the file beside which its templates and static files are found."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

__all__ = ["SERVED_FILE", "LoadError", "beside_the_program", "loading", "refuse_while_loading"]

SERVED_FILE = "__tatsumaki_app__"
"""The module name under which ``python -m tatsumaki_py`` loads the file that it serves."""


_loading: str | None = None
"""The file or module that the command is loading, in the main thread."""


class LoadError(Exception):
    """The command cannot serve this application. The text is one line."""


@contextlib.contextmanager
def loading(name: str) -> Iterator[None]:
    """Enter this while the command runs the program `name` to get its application."""
    global _loading
    _loading = name
    try:
        yield
    finally:
        _loading = None


def refuse_while_loading() -> None:
    """Raise `LoadError` if a program runs a server while the command loads it: the command would
    serve the application only afterwards, and its flags would not apply to the first server. A
    server in another thread, of another application, is allowed.
    """
    if _loading is not None and threading.current_thread() is threading.main_thread():
        raise LoadError(
            f'{_loading} runs a Server itself: put that under `if __name__ == "__main__":`, '
            "or run the program without this command"
        )


def beside_the_program(name: str) -> str | None:
    """The directory of that name beside the file that was run."""
    module = sys.modules.get(SERVED_FILE) or sys.modules.get("__main__")
    # An interactive session has no file.
    program = getattr(module, "__file__", None)
    path = os.path.join(os.path.dirname(os.path.abspath(program)), name) if program else ""
    return path if os.path.isdir(path) else None
