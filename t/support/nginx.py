"""A real nginx in front of the application, configured as the recipe and the guide say."""

import contextlib
import os
import re

import pytest
from support.outside import find_program
from support.program import ROOT, free_port
from support.proxies import DEPLOY, processes
from support.proxies import PAGE as RECIPE

PAGE = (ROOT / "docs/guide/deploying.md").read_text()
SITE = (DEPLOY / "nginx/chat.conf").read_text()
MACHINES, BY_CHANNEL = re.findall(r"^```nginx\n(.*?)^```", PAGE, re.M | re.S)
HTTP_2 = re.findall(r"^```nginx\n(.*?)^```", RECIPE, re.M | re.S)[1]

FRAME = """
daemon off;
pid {prefix}/pid;
error_log {prefix}/error.log;
worker_processes 1;
{user}
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    {http}
}}
"""


def with_upstream(lines):
    """The recipe's configuration, with other lines in place of its `upstream`."""
    return re.sub(r"upstream tatsumaki \{.*?\n\}\n", lines, SITE, flags=re.S)


@pytest.fixture
def nginx(run_nginx, http_server, http_port):
    """`port = nginx("gzip on;")` runs nginx with directives and the recipe's configuration."""

    def start(*directives):
        return run_nginx("\n".join([*directives, SITE.replace("5000", str(http_port))]))

    return start


@pytest.fixture
def run_nginx(tmp_path, http_server):
    """`port = run_nginx(http, listen)` runs nginx with `http` as the content of its block `http`.

    The text `listen` in `http` is replaced by a directive for the port that is returned. nginx is
    killed before the server stops.
    """
    with running(tmp_path) as run:
        yield run


@pytest.fixture
def spread(tmp_path):
    """Gives the function that `spreading` describes."""
    with spreading(tmp_path) as start:
        yield start


@contextlib.contextmanager
def spreading(directory):
    """`port = spread(*ports)` runs nginx in front of these servers.

    nginx passes each request on to one of them at random.
    """

    def start(*ports):
        # nginx uses a worker again as soon as it is back.
        servers = [f"server 127.0.0.1:{port} max_fails=0;" for port in ports]
        alone = "server 127.0.0.1:5000;"
        assert alone in SITE
        return run(SITE.replace(alone, "\n".join(["random;", *servers])))

    with running(directory) as run:
        yield start


@contextlib.contextmanager
def running(directory):
    """Gives `run_nginx`, but needs no application server."""
    path = find_program("nginx", "nginx")

    def run(http, listen="listen 80;"):
        port = free_port()
        assert http.count(listen) == 1
        prefix = directory / f"nginx-{port}"
        prefix.mkdir()
        config = prefix / "nginx.conf"
        config.write_text(
            FRAME.format(
                prefix=prefix,
                # Otherwise, a root nginx changes the owner of its temporary files.
                user="user root;" if os.geteuid() == 0 else "",
                http=http.replace(listen, re.sub(r"\b\d+", f"127.0.0.1:{port}", listen)),
            )
        )
        log = prefix / "error.log"
        command = [path, "-p", str(prefix), "-e", str(log), "-c", str(config)]
        # nginx listens before it writes its process id.
        started.start(command, port, log, ready=(prefix / "pid").exists)
        return port

    with processes() as started:
        yield run
