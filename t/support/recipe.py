"""Compares the page of a recipe with its program, and sends requests to the program."""

import ast
import re

from support.program import ROOT
from tornado.httpclient import AsyncHTTPClient


def code_blocks(page, language="python"):
    """The blocks of code in `language` on ``docs/recipes/<page>.md``.

    `t/docs` runs the blocks in ``python``; Python code that needs other packages is in ``py``.
    """
    text = (ROOT / f"docs/recipes/{page}.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def definitions(code):
    """The classes and functions of a module, by name, as text without comments."""
    kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return {one.name: ast.unparse(one) for one in ast.parse(code).body if isinstance(one, kinds)}


def assert_shown(block, program):
    """Fails unless each class and function of a block is the same in the program."""
    shown = definitions(block)
    assert shown
    assert shown.items() <= definitions((ROOT / program).read_text()).items()


async def ask(url, method="GET", body=None, **headers):
    """Sends a request, and returns the answer, with any status. Redirects are not followed.

    The names of headers have underscores, as in ``Content_Type``.
    """
    client = AsyncHTTPClient(force_instance=True)
    try:
        return await client.fetch(
            url,
            method=method,
            body=body,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
            follow_redirects=False,
            raise_error=False,
        )
    finally:
        client.close()
