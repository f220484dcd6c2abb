"""Find the application that the command line names."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path

from tornado.httputil import HTTPServerConnectionDelegate

from tatsumaki_py.program import SERVED_FILE, LoadError, loading

__all__ = ["load"]


def load(target: str) -> HTTPServerConnectionDelegate:
    """The application `app` of a Python file or module. ``app.py:other`` and ``module:other`` name
    another attribute.

    Templates and static files are looked up beside the file. Raises `LoadError` if there is no
    application, or if the file runs a server itself. Exceptions that the file raises are passed on.
    """
    name, colon, attribute = target.rpartition(":")
    if not (colon and attribute.isidentifier()):
        name, attribute = target, "app"
    spec = _spec(name)
    if spec is None or spec.loader is None:
        is_module = re.fullmatch(r"\w+(\.\w+)*", name) and not name.endswith(".py")
        raise LoadError(f"no such {'file or module' if is_module else 'file'}: {name}")
    # A package may have imported its module already.
    module = sys.modules.get(spec.name) if spec.name != SERVED_FILE else None
    if module is None:
        module = importlib.util.module_from_spec(spec)
        # Leave it there, because the program's directory is looked up by this name.
        sys.modules[SERVED_FILE] = sys.modules[spec.name] = module
        with loading(name):
            spec.loader.exec_module(module)
    app = getattr(module, attribute, None)
    if not isinstance(app, HTTPServerConnectionDelegate):
        raise LoadError(f"{name} has no {attribute} = Application(...)")
    return app


def _spec(name: str) -> ModuleSpec | None:
    path = Path(name).resolve()
    if path.is_file():
        # Let the file import modules beside it, as if it were run.
        sys.path.insert(0, str(path.parent))
        return importlib.util.spec_from_loader(
            SERVED_FILE, SourceFileLoader(SERVED_FILE, str(path))
        )
    if not re.fullmatch(r"\w+(\.\w+)*", name):
        return None
    # Add the current directory: an installed script such as `tatsumaki` does not search it.
    sys.path.insert(0, os.getcwd())
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError as error:
        if error.name is not None and name.startswith(error.name):
            return None
        raise
