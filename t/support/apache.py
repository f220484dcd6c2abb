"""A real Apache in front of the application, configured as the recipe says."""

import contextlib
import os
import re
import tempfile
from pathlib import Path

import pytest
from support.outside import find_program, left_out
from support.program import free_port
from support.proxies import DEPLOY, PAGE, processes

LINES = (DEPLOY / "apache/chat.conf").read_text()
# Debian's Apache loads these; the page names the modules to add.
USUAL = ["mpm_event", "authz_core", "alias", "deflate", "filter"]
ADDED = re.findall(r"^a2enmod (.*)", PAGE, re.M)[0].split()
MODULES = Path("/usr/lib/apache2/modules")
THREADS = 25

FRAME = """
ServerRoot {prefix}
ServerName localhost
DefaultRuntimeDir {prefix}
PidFile {prefix}/pid
ErrorLog {prefix}/error.log
{user}
Listen 127.0.0.1:{port}
StartServers 1
ServerLimit 1
ThreadsPerChild {threads}
MaxRequestWorkers {threads}
{modules}
"""


@pytest.fixture
def run_apache(http_server):
    """`port = run_apache(lines)` runs Apache with these lines, and kills it at the end.

    Args:
        retry: the milliseconds that an EventSource waits before it reconnects.
        modules: names of additional modules to load.
    """
    with running() as run:
        yield run


@contextlib.contextmanager
def running(_=None):
    """Gives `run_apache`, but needs no application server."""
    path = find_program("apache2", "apache2")
    if not MODULES.is_dir():
        left_out(f"NO {MODULES}: the tests of Apache did not run")

    def run(lines, retry=3000, modules=()):
        port = free_port()
        # Apache's workers, which are not root, read from this folder.
        prefix = Path(directories.enter_context(tempfile.TemporaryDirectory()))
        prefix.chmod(0o755)
        answer = (DEPLOY / "apache/restarting.asis").read_text()
        (prefix / "restarting.asis").write_text(answer.replace("3000", str(retry)))
        assert lines.count("<VirtualHost *:80>\n") == 1
        lines = lines.replace("*:80>", f"127.0.0.1:{port}>").replace("/etc/apache2", str(prefix))
        # Apache's workers refuse to run as root.
        user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
        names = [*USUAL, *dict.fromkeys(["proxy", *ADDED]), *modules]
        loads = "\n".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in names)
        frame = FRAME.format(prefix=prefix, user=user, port=port, modules=loads, threads=THREADS)
        config = prefix / "apache2.conf"
        config.write_text(frame + lines)
        started.start([path, "-DFOREGROUND", "-f", str(config)], port, prefix / "error.log")
        return port

    with contextlib.ExitStack() as directories, processes() as started:
        yield run
