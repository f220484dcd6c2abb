"""What the documents show works."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGES.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(language):
    for document in DOCUMENTS:
        for match in re.finditer(rf"^```{language}\n(.*?)^```", document.read_text(), re.M | re.S):
            line = document.read_text()[: match.start()].count("\n") + 2
            yield pytest.param(match[1], id=f"{document.relative_to(ROOT)}:{line}")


@pytest.mark.parametrize("code", list(blocks("python")))
def test_python_runs(code):
    """Each block is a program of its own: it runs, and complains of nothing."""
    # Not as __main__: that would serve.
    run = "import sys; exec(compile(sys.stdin.read(), 'block', 'exec'), {'__name__': 'block'})"
    command = [sys.executable, "-W", "error", "-c", run]
    result = subprocess.run(command, input=code, capture_output=True, text=True, timeout=30)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("code", list(blocks("sh")))
def test_make_targets_exist(code):
    """The commands that a reader is told to type are there."""
    for target in re.findall(r"^make (\S+)", code, re.M):
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    """Links to files of the project are not broken."""
    for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
        assert (document.parent / link).exists(), link
