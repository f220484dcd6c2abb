"""The directive ``command-help``, which shows the ``--help`` of a command."""

import importlib
import os

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class CommandHelp(SphinxDirective):
    """Takes the name of a module in `tatsumaki_py.commands`."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        module = importlib.import_module(f"tatsumaki_py.commands.{name}")
        # argparse wraps at the width of the terminal.
        os.environ["COLUMNS"] = "88"
        text = module.make_parser(
            "tatsumaki" if name == "serve" else f"tatsumaki {name}"
        ).format_help()
        return [nodes.literal_block(text, text, language="text")]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True}
