"""The examples in docstrings run."""

import doctest
import importlib
import pkgutil

import pytest

import tatsumaki_py

MODULES = sorted(
    module.name for module in pkgutil.walk_packages(tatsumaki_py.__path__, "tatsumaki_py.")
)


@pytest.mark.parametrize("name", ["tatsumaki_py", *MODULES])
def test_docstrings(name):
    """The doctests of each module pass."""
    if name.endswith("__main__"):
        return
    assert doctest.testmod(importlib.import_module(name)).failed == 0
