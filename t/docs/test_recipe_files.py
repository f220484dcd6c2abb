"""The pages of the recipes on deploying show the files unchanged."""

import re

import pytest
from support.program import ROOT

DEPLOY = ROOT / "examples/recipes/deploy"
SHOWN = {
    "behind-a-proxy": [
        "nginx/chat.conf",
        "haproxy/haproxy.cfg",
        "haproxy/restarting.http",
        "caddy/Caddyfile",
        "apache/chat.conf",
        "apache/restarting.asis",
    ],
    "docker": [
        "docker/Dockerfile",
        "docker/requirements.txt",
        "docker/.dockerignore",
        "docker/compose.yaml",
        "docker/haproxy.cfg",
    ],
    "systemd": ["systemd/chat.socket", "systemd/chat.service", "systemd/chat.default"],
}


@pytest.mark.parametrize(("page", "file"), [(p, f) for p, files in SHOWN.items() for f in files])
def test_file(page, file):
    """One block of the page equals the file."""
    text = (ROOT / f"docs/recipes/{page}.md").read_text()
    blocks = re.findall(r"^```\w+\n(.*?)^```", text, re.M | re.S)
    # With universal newlines, because a block has no CR.
    assert (DEPLOY / file).read_text() in blocks
