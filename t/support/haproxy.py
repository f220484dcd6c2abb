"""A real haproxy in front of the application, configured as docs/guide/deploying.md says."""

import re
import socket
import subprocess
import time

import pytest
from support.outside import find_program
from support.program import ROOT, free_port

PAGE = (ROOT / "docs/guide/deploying.md").read_text()
LINES, MACHINES = re.findall(r"^```haproxy\n(.*?)^```", PAGE, re.M | re.S)
(RESTARTING,) = re.findall(r"^```http\n(.*?)^```", PAGE, re.M | re.S)
START = 5.0  # seconds until it must listen


@pytest.fixture
def run_haproxy(tmp_path, http_server):
    """`port = run_haproxy(lines)` runs it with these lines, but without its second tries, unless
    `retries` is not 0.
    """
    path = find_program("haproxy", "haproxy")
    answer, config, log = (tmp_path / name for name in ("restarting.http", "cfg", "log"))
    head, body = RESTARTING.split("\n\n")
    answer.write_bytes(f"{head}\n\n".replace("\n", "\r\n").encode() + body.encode())
    processes = []

    def run(lines, retries=0):
        port = free_port()
        assert lines.count("bind :80\n") == lines.count("mode http\n") == 1
        lines = lines.replace("bind :80\n", f"bind 127.0.0.1:{port}\n")
        lines = lines.replace("mode http\n", f"mode http\n    retries {retries}\n")
        config.write_text(lines.replace("/etc/haproxy/restarting.http", str(answer)))
        with log.open("w") as output:
            command = [path, "-db", "-f", str(config)]
            processes.append(subprocess.Popen(command, stdout=output, stderr=output))
        deadline = time.monotonic() + START
        while not listens(port):
            if processes[-1].poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"haproxy does not run:\n{log.read_text()}")
            time.sleep(0.02)
        return port

    yield run
    for process in processes:
        process.kill()
        process.wait()


def listens(port):
    """Whether it does."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
