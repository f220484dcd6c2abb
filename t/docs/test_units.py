"""systemd accepts the units of the recipe, alone and as docs/guide/deploying.md changes them."""

import re
import subprocess
import sys

import pytest
from support.outside import find_program
from support.program import ROOT

DEPLOY = "examples/recipes/deploy/systemd"
PAGE = (ROOT / "docs/guide/deploying.md").read_text()
UNITS = {path.name: path.read_text() for path in (ROOT / DEPLOY).glob("chat.s*")}


@pytest.fixture
def verify(tmp_path):
    """Runs `systemd-analyze verify` on units, `{name: text}`, with a program that exists."""
    program = find_program("systemd-analyze", "systemd")

    def run(units):
        for name, text in units.items():
            text = text.replace("/srv/chat/venv/bin/python", sys.executable)
            (tmp_path / name).write_text(text.replace("/srv/chat", str(tmp_path)))
        command = [program, "verify", "--man=no", "--recursive-errors=no", *units]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30)
        return result.returncode, result.stderr

    return run


def test_one_service(verify):
    """systemd accepts the socket and the service."""
    assert sorted(UNITS) == ["chat.service", "chat.socket"]
    assert verify(UNITS) == (0, "")


def test_two_services(verify):
    """systemd accepts the socket and a template for two processes side by side."""
    (line,) = re.findall(r"`(Service=.+?)`", PAGE)
    socket = UNITS["chat.socket"].replace("[Install]", f"{line}\n\n[Install]")
    service = UNITS["chat.service"].replace("Description=Chat", "Description=Chat (%i)")
    assert verify({"chat.socket": socket, "chat@a.service": service}) == (0, "")


def test_a_unit_that_is_wrong(verify):
    """systemd rejects a wrong unit, so the other tests can fail."""
    _, said = verify({"chat.service": UNITS["chat.service"] + "\n[Service]\nTypo=1\n"})
    assert "Typo" in said


def test_hardened():
    """The service has few permissions: `systemd-analyze security` rates it low, where 10 means all
    permissions.
    """
    program = find_program("systemd-analyze", "systemd")
    command = [program, "security", "--offline=true", "--threshold=20", "chat.service"]
    result = subprocess.run(command, cwd=ROOT / DEPLOY, capture_output=True, text=True, timeout=30)
    assert result.returncode == 0, result.stdout
