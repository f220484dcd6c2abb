"""The documentation as a site: ``make docs``."""

import sys
from pathlib import Path

import tatsumaki_py

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "tatsumaki_py"
author = "the authors of tatsumaki_py"
version = release = tatsumaki_py.__version__
language = "en"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.coverage",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    # In docs/_ext.
    "command_line",
    "members",
    "pages",
    "references",
]
exclude_patterns = ["_ext"]
myst_heading_anchors = 4

html_theme = "furo"
html_title = f"tatsumaki_py {version}"
html_show_copyright = False
html_show_sphinx = False

# In docstrings, as in those of Tornado, `name` is a reference.
default_role = "py:obj"
autodoc_default_options = {"member-order": "bysource"}
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"
python_maximum_signature_line_length = 80
viewcode_follow_imported_members = True

coverage_show_missing_items = True
coverage_statistics_to_stdout = False
