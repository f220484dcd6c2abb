"""How many processes a `Server` has, and whether the program can be forked.

Rule: a fork would break running threads, an event loop and used channels, so each of these is
reported as an error of one line before any process starts. A forked process has only the main
thread, so locks that other threads hold stay locked. An event loop that two processes share works
in neither. Clients, events and connections belong to the process that has them (`Registry.bind`).
Unused channels and their settings may be copied.
"""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import warnings

from tatsumaki_py.message_queue import MessageQueue
from tatsumaki_py.message_queue.engine.choose import VARIABLE as ENGINE

__all__ = ["PROCESSES", "ProcessesError", "check_fork", "process_count"]

PROCESSES = "TATSUMAKI_PROCESSES"
"""The environment variable with the number."""
MOST = 1000
"""The maximum number of processes of one server."""


class ProcessesError(RuntimeError):
    """Several processes cannot be started. Its text is one line."""


def process_count(given: int | None) -> int:
    """The number of processes: `given`, else the number in the environment, else 1. 0 means one for
    each core that this process may use.

    Raises `ValueError` for an invalid argument, `ProcessesError` for an invalid variable.
    """
    if given is None:
        text = os.environ.get(PROCESSES) or "1"
        if not (text.isdecimal() and len(text) < 10 and int(text) <= MOST):
            raise ProcessesError(f"{PROCESSES} must be a number from 0 to {MOST}, not {text!r}")
        given = int(text)
    value: object = given
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST:
        raise ValueError(f"processes= takes a number from 0 to {MOST}, not {given!r}")
    return given or _cores()


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        # macOS.
        return os.cpu_count() or 1


def check_fork(count: int, app: object) -> None:
    """Raise `ProcessesError` if `count` processes cannot serve `app`, `EngineError` if the engine
    does not exist. Does not create the engine.
    """
    if not hasattr(os, "fork"):
        raise ProcessesError(f"{count} processes need fork(), which this system lacks: use one")
    if threading.current_thread() is not threading.main_thread():
        raise ProcessesError(
            f"{count} processes can be started in the main thread only: "
            "use processes=1 in other threads"
        )
    if getattr(app, "settings", {}).get("autoreload"):
        raise ProcessesError(
            f"autoreload, which debug=True turns on, needs one process, not {count}: "
            "use processes=1, or autoreload=False"
        )
    _check_engine(count)
    if _has_loop():
        raise ProcessesError(
            f"an event loop was made before the server starts its {count} processes, for example "
            "by app.spawn, a timer or an HTTP client: do that in a function given to app.on_start"
        )
    threads = [one.name for one in threading.enumerate() if one is not threading.main_thread()]
    if threads:
        raise ProcessesError(
            f"threads are running before the server starts its {count} processes: "
            f"{', '.join(threads[:3])}"
            ": start them in a function given to app.on_start"
        )


def _check_engine(count: int) -> None:
    registry = MessageQueue._registry
    if not registry.choice.shared:
        raise ProcessesError(
            f"{count} processes need an engine that they share, and {registry.choice.url} is not "
            "shared: "
            f'MessageQueue.configure("redis://..."), or {ENGINE}=redis://... in the environment'
        )
    if registry.bound is not None:
        raise ProcessesError(
            f"{registry.bound} before the server starts its {count} processes: do that in a "
            "function given to app.on_start"
        )


def _has_loop() -> bool:
    """Whether the current event loop exists already: callbacks may be scheduled on it."""
    # asyncio cannot answer this: at least before Python 3.14, it makes a loop if there is none.
    made = [
        one
        for one in gc.get_objects()
        if issubclass(type(one), asyncio.AbstractEventLoop) and not one.is_closed()
    ]
    if not made:
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            current = asyncio.get_event_loop()
        except RuntimeError:
            return False
    if any(one is current for one in made):
        return True
    # The call has made a loop, which all processes would share.
    current.close()
    asyncio.set_event_loop(None)
    return False
