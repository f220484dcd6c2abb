"""Finds and runs programs that are not written in Python; a missing one skips or fails a test."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

NODE_MODULES = Path(sys.prefix) / "npm/node_modules"


def find_program(name, package):
    """The path of a program. If it is missing, the test is skipped, or fails where CI is set."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        left_out(f"NO {name.upper()}: its tests did not run (Debian: apt install {package})")
    return path


def node_environment():
    """The environment in which Node finds the packages that `make test` installed."""
    if not NODE_MODULES.is_dir():
        left_out("NO PACKAGES FOR NODE: their tests did not run (make test, with npm, gets them)")
    return {**os.environ, "NODE_PATH": str(NODE_MODULES)}


def left_out(message):
    """Skips the test, or fails it where CI is set."""
    pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)


@contextlib.asynccontextmanager
async def running(*command, **options):
    """Runs a program, gives its process (the test reads its stdout), and kills it at the end."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=2**22,
        **options,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            # Not process.kill(), which takes the exit status away from asyncio.
            os.kill(process.pid, signal.SIGKILL)
        # Read to the end: a pipe that stays open causes a warning.
        await process.communicate()
