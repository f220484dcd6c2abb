"""The page of a recipe, compared with its program; and requests to the program."""

import ast
import re

from support.program import ROOT
from tornado.httpclient import AsyncHTTPClient


def code_blocks(page, language="python"):
    """The blocks of code on ``docs/recipes/<page>.md``. Those of Python that need other packages
    are ``py``: `t/docs` runs those that are ``python``.
    """
    text = (ROOT / f"docs/recipes/{page}.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def definitions(code):
    """The classes and functions of a module, by name, as text without comments."""
    kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return {one.name: ast.unparse(one) for one in ast.parse(code).body if isinstance(one, kinds)}


def assert_shown(block, program):
    """Each class and function of a block is that of the program with the same name."""
    shown = definitions(block)
    assert shown
    assert shown.items() <= definitions((ROOT / program).read_text()).items()


async def ask(url, method="GET", body=None, **headers):
    """The answer to a request, whatever its status is. Redirects are not followed. A header is
    named as in ``Content_Type``.
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
