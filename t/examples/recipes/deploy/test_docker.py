"""The Dockerfile, without Docker: its program installs, runs as PID 1, is healthy, and stops."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import venv
from pathlib import Path

import pytest
import yaml
from support.outside import find_program, left_out
from support.program import STOP, free_port, received
from support.proxies import DEPLOY

FOLDER = DEPLOY / "docker"
DELAY = 1  # seconds during which health checks fail, instead of those in the file


def instructions(text):
    """The instructions of a Dockerfile, `[(name, arguments), ...]`."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(None, 1)) for line in "\n".join(lines).replace("\\\n", "").split("\n")]


INSTRUCTIONS = instructions((FOLDER / "Dockerfile").read_text())


def only(name):
    """The arguments of the only instruction with this name."""
    (found,) = [arguments for other, arguments in INSTRUCTIONS if other == name]
    return found


def exec_form(text):
    """The words of a command in exec form, which runs without a shell."""
    words = yaml.safe_load(text[text.index("[") :])
    assert all(isinstance(word, str) for word in words)
    return words


@pytest.fixture
def folder(wheel, tmp_path):
    """The build context, as the page says: the folder, the program and a wheel."""
    shutil.copytree(FOLDER, tmp_path / "chat")
    shutil.copy(DEPLOY / "app.py", tmp_path / "chat")
    shutil.copy(wheel, tmp_path / "chat")
    ignored = (FOLDER / ".dockerignore").read_text().split()
    assert ignored[0] == "*"
    kept = [name.removeprefix("!") for name in ignored[1:]]
    copied = [
        name for key, arguments in INSTRUCTIONS if key == "COPY" for name in arguments.split()
    ]
    assert sorted(kept) == sorted(set(copied) - {".", "./"})
    context = tmp_path / "app"
    context.mkdir()
    for pattern in kept:
        (path,) = (tmp_path / "chat").glob(pattern)
        shutil.copy(path, context)
    return context


@pytest.fixture
def environment(folder, tmp_path):
    """The environment of the image, with a new venv in which its `pip install` has been run.

    The packages that the wheel needs come from the environment of the tests.
    """
    venv.create(tmp_path / "venv", symlinks=True)
    (site,) = (tmp_path / "venv/lib").glob("*/site-packages")
    (site / "needed.pth").write_text(sysconfig.get_path("purelib"))
    (line,) = [words for name, words in INSTRUCTIONS if name == "RUN" and "pip" in words]
    program, *arguments = shlex.split(line)
    assert program == "pip"
    python = str(tmp_path / "venv/bin/python")
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    offline = ["--no-index", "--no-deps", "--ignore-installed"]
    subprocess.run([*pip, *arguments, *offline], cwd=folder, check=True, capture_output=True)
    assert (site / "tatsumaki_py/__init__.py").exists()
    variables = dict(word.split("=", 1) for word in shlex.split(only("ENV")))
    assert variables["TATSUMAKI_HOST"] == "0.0.0.0"
    assert variables["TATSUMAKI_PORT"] == only("EXPOSE")
    return {
        **os.environ,
        **variables,
        "PYTHONPATH": "",
        "TATSUMAKI_HOST": "127.0.0.1",
        "TATSUMAKI_PORT": str(free_port()),
        "PATH": f"{tmp_path}/venv/bin:{os.environ['PATH']}",
    }


@pytest.fixture
def as_pid_1():
    """The words to put before a command so that it becomes PID 1 of a new namespace."""
    program = [find_program("unshare", "util-linux"), "--pid", "--fork", "--mount-proc"]
    if os.geteuid() != 0:
        program += ["--user", "--map-root-user"]
    program += ["--kill-child"]
    if subprocess.run([*program, "true"], capture_output=True).returncode:
        left_out("NO PID NAMESPACES: the command of the Dockerfile did not run (unshare)")
    return program


def test_it_runs(folder, environment, as_pid_1, popen, tmp_path):
    """The program is healthy, is unhealthy while it drains, and tells its clients to reconnect."""
    command = exec_form(only("CMD"))
    command[command.index("--drain-delay") + 1] = str(DELAY)
    check = exec_form(only("HEALTHCHECK"))
    assert " CMD [" in only("HEALTHCHECK")

    def healthy():
        return (
            subprocess.run(check, env=environment, capture_output=True, timeout=5).returncode == 0
        )

    process = popen(*as_pid_1, *command, environment=environment, cwd=folder)
    port = int(environment["TATSUMAKI_PORT"])
    line = process.stdout.readline()
    assert line == f"Listening on http://127.0.0.1:{port}/ (Ctrl-C stops)\n", (
        tmp_path / "log"
    ).read_text()
    (pid,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert re.search(r"^NSpid:\t\d+\t1$", Path(f"/proc/{pid}/status").read_text(), re.M)
    assert healthy()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as stream:
        stream.sendall(b"GET /events/room?transport=sse HTTP/1.1\r\nHost: x\r\n\r\n")
        received(stream, b"event: cursor")
        stopped = time.monotonic()
        os.kill(int(pid), getattr(signal, only("STOPSIGNAL")))
        time.sleep(DELAY / 5)
        assert not healthy()
        assert b"\nretry: " in received(stream)
        assert time.monotonic() - stopped > DELAY
    assert process.wait(STOP) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_the_image():
    """The image is a slim one, runs as an unprivileged user, and sets times for health checks."""
    names = [name for name, _ in INSTRUCTIONS]
    assert only("FROM").endswith("-slim")
    (made,) = re.findall(r"useradd .*?(\w+)$", "\n".join(text for _, text in INSTRUCTIONS), re.M)
    assert only("USER") == made
    assert names.index("USER") < names.index("CMD")
    assert all(word in only("HEALTHCHECK") for word in ("--interval=", "--timeout="))


def test_compose():
    """The three replicas have no public ports, and have enough time to stop."""
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    chat = services["chat"]
    assert chat["deploy"]["replicas"] == 3
    assert "ports" not in chat
    command = exec_form(only("CMD"))
    delay = int(command[command.index("--drain-delay") + 1])
    # The delay, the default of `grace`, and 5 seconds for the engine.
    assert int(chat["stop_grace_period"].removesuffix("s")) > delay + 10 + 5
    assert chat["environment"]["TATSUMAKI_ENGINE"] == "redis://redis:6379"
    assert set(chat["depends_on"]) <= set(services)
    for volume in services["haproxy"]["volumes"]:
        assert (FOLDER / volume.split(":")[0]).exists() or "restarting" in volume


def test_haproxy(tmp_path):
    """haproxy accepts its configuration, which differs from the recipe's only in the servers."""
    program = find_program("haproxy", "haproxy")
    lines = (FOLDER / "haproxy.cfg").read_text()
    assert lines.count("server-template chat 3 chat:5000") == 2
    config = tmp_path / "haproxy.cfg"
    config.write_text(lines.replace("/usr/local/etc", str(DEPLOY)))
    subprocess.run([program, "-c", "-f", str(config)], check=True, capture_output=True)
    recipe = set((DEPLOY / "haproxy/haproxy.cfg").read_text().splitlines())
    differ = {line for line in recipe if line not in lines.splitlines() and "errorfile" not in line}
    assert differ == {"    bind :80", "    server chat 127.0.0.1:5000"}
