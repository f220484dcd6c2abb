"""The code blocks and links of the pages work."""

import re
import subprocess
from pathlib import Path

import pytest
from support.blocks import Blocks

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(language):
    for document in DOCUMENTS:
        for match in re.finditer(rf"^```{language}\n(.*?)^```", document.read_text(), re.M | re.S):
            line = document.read_text()[: match.start()].count("\n") + 2
            yield pytest.param(match[1], id=f"{document.relative_to(ROOT)}:{line}")


@pytest.fixture(scope="module")
def processes():
    with Blocks() as processes:
        yield processes


@pytest.mark.parametrize("code", list(blocks("python")))
def test_python_runs(processes, code):
    """Each Python block runs as a separate program, without a warning."""
    assert processes.run(code) == (0, "")


def test_a_block_that_fails(processes):
    """Each kind of failure is detected, and the next block runs."""
    status, errors = processes.run("1 / 0")
    assert status == 1
    assert errors.endswith("ZeroDivisionError: division by zero\n")
    assert processes.run("import warnings; warnings.warn('mine')")[0] == 1
    assert "ResourceWarning" in processes.run("import socket; socket.socket()")[1]
    assert processes.run("import os; os.kill(os.getpid(), 9)")[0] == -9
    assert processes.run("print(1)") == (0, "")


@pytest.mark.parametrize("code", list(blocks("sh")))
def test_make_targets_exist(code):
    """The make targets on the pages exist."""
    for target in re.findall(r"^make (\S+)", code, re.M):
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    """Links to files of the project lead to existing files."""
    for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
        assert (document.parent / link).exists(), link
