"""The examples of docs/guide/testing.md are tests that pass, each in its own framework."""

import re
import subprocess
import sys
from xml.etree import ElementTree

from support.program import ROOT

PAGE = (ROOT / "docs/guide/testing.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
TESTS = [name for block in BLOCKS for name in re.findall(r"def (test_\w+)", block)]
# Our own configuration is not used. The ignored warnings come from pytest-tornado.
CONFIGURATION = """
[pytest]
asyncio_default_fixture_loop_scope = function
filterwarnings =
    error
    ignore:make_current is deprecated; start the event loop first:DeprecationWarning
    ignore:clear_current is deprecated:DeprecationWarning
    ignore:The hookimpl pytest_py:pytest.PytestRemovedIn10Warning
    ignore:pkg_resources is deprecated as an API:UserWarning
"""


def test_examples(tmp_path):
    """All examples pass in one run of pytest, with all frameworks installed."""
    for number, block in enumerate(BLOCKS):
        (tmp_path / f"test_{number}.py").write_text(block)
    (tmp_path / "pytest.ini").write_text(CONFIGURATION)
    command = [sys.executable, "-m", "pytest", "-c", tmp_path / "pytest.ini", "--rootdir", tmp_path]
    command += ["-q", "--junitxml", tmp_path / "result.xml", tmp_path]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stderr) == (0, ""), run.stdout + run.stderr
    cases = ElementTree.parse(tmp_path / "result.xml").iter("testcase")
    assert {case.get("name"): [*case] for case in cases} == {name: [] for name in TESTS}


def test_all_frameworks_are_there():
    """The guide has examples for Tornado's test cases, pytest-tornado, pytest-asyncio and anyio."""
    for mark in ("@gen_test", "mark.gen_test", "mark.asyncio", "mark.anyio"):
        assert mark in PAGE
