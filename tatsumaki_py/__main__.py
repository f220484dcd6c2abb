"""Serve the application of a file, like ``plackup app.psgi``: ``python -m tatsumaki_py app.py``."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path

import tornado.web

from tatsumaki_py.program import SERVED_FILE
from tatsumaki_py.server import Server


def main(arguments: list[str] | None = None) -> None:
    """Run the command. Ends with one line on stderr if the file has no application."""
    parser = argparse.ArgumentParser(
        prog="python -m tatsumaki_py", description="Serve the application `app` of a Python file."
    )
    parser.add_argument("file", type=Path, help="a Python file that says app = Application(...)")
    parser.add_argument("-o", "--host", help="address to listen on (default: HOST or 127.0.0.1)")
    parser.add_argument("-p", "--port", type=int, help="port (default: PORT or 5000)")
    options = parser.parse_args(arguments)
    if not options.file.is_file():
        parser.error(f"there is no file {options.file}")
    # As if the file were run: modules beside it can be imported.
    sys.path.insert(0, str(options.file.parent.resolve()))
    path = str(options.file.resolve())
    loader = SourceFileLoader(SERVED_FILE, path)
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    # The module stays in sys.modules: templates and static files are looked for beside it.
    module = sys.modules[loader.name] = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    app = getattr(module, "app", None)
    if not isinstance(app, tornado.web.Application):
        parser.error(f"{options.file} has no app = Application(...)")
    Server(options.host, options.port).run(app)


if __name__ == "__main__":
    main()
