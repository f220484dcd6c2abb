"""Chooses the HTTP server of a `Server`."""

from __future__ import annotations

import logging
import os
import select
from typing import Any

from tatsumaki_py.life import StartError
from tatsumaki_py.server.http_server import ListeningServer, StrictServer

__all__ = ["new_server"]

_log = logging.getLogger("tatsumaki")

# On Windows, asyncio's default event loop has no `add_reader`, and there is no `poll`.
_WATCHES = hasattr(select, "poll")


def new_server(app: Any, **options: Any) -> ListeningServer:
    """The fast server if httptools is installed, otherwise the one with Tornado's HTTP code.
    ``TATSUMAKI_HTTP=tornado`` in the environment selects the latter. Raises `StartError` for an
    unknown value, or for ``fast`` if the fast server is not available.
    """
    wanted = os.environ.get("TATSUMAKI_HTTP", "")
    if wanted not in ("", "fast", "tornado"):
        raise StartError(f"TATSUMAKI_HTTP must be fast or tornado, not {wanted!r}")
    missing = "" if wanted == "tornado" else "Windows has no fast HTTP server"
    if _WATCHES and wanted != "tornado":
        try:
            # Needs httptools.
            from tatsumaki_py.server.fast_server import FastServer
        except ImportError as error:
            missing = f"{error}: pip install 'tatsumaki_py[fast]'"
        else:
            return FastServer(app, **options)
    if wanted == "fast":
        raise StartError(f"TATSUMAKI_HTTP=fast: {missing}")
    if missing:
        _log.debug("Tornado's HTTP code reads the requests: %s", missing)
    return StrictServer(app, **options)
