"""The page of a recipe, compared with its program."""

import ast
import re

from support.program import ROOT


def code_blocks(page):
    """The blocks of Python on ``docs/recipes/<page>.md``."""
    text = (ROOT / f"docs/recipes/{page}.md").read_text()
    return re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)


def definitions(code):
    """The classes and functions of a module, by name, as text without comments."""
    kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return {one.name: ast.unparse(one) for one in ast.parse(code).body if isinstance(one, kinds)}


def assert_shown(block, program):
    """Each class and function of a block is that of the program with the same name."""
    shown = definitions(block)
    assert shown
    assert shown.items() <= definitions((ROOT / program).read_text()).items()
