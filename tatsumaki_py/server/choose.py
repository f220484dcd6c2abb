"""Which HTTP server a `Server` uses."""

from __future__ import annotations

import importlib.util
import logging
import os
from typing import Any

from tatsumaki_py.server.http_server import ListeningServer, StrictServer

__all__ = ["new_server"]

_log = logging.getLogger("tatsumaki")


def new_server(app: Any, **options: Any) -> ListeningServer:
    """The fast server if httptools is installed, else the one with Tornado's HTTP code.
    ``TATSUMAKI_HTTP=tornado`` in the environment asks for the latter.

    Raises `ValueError` for another value of it.
    """
    wanted = os.environ.get("TATSUMAKI_HTTP", "")
    if wanted not in ("", "fast", "tornado"):
        raise ValueError(f"TATSUMAKI_HTTP is fast or tornado, not {wanted!r}")
    if wanted == "tornado":
        return StrictServer(app, **options)
    if importlib.util.find_spec("httptools") is None:
        _log.debug("requests are read by Tornado: pip install tatsumaki_py[fast] is faster")
        return StrictServer(app, **options)
    # Needs httptools.
    from tatsumaki_py.server.fast_server import FastServer

    return FastServer(app, **options)
