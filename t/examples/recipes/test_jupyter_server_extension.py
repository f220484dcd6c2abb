"""The extension of Jupyter Server, installed in a real server with a kernel."""

import json
import shutil
import socket
import subprocess
import sys
import uuid
from urllib.parse import urlsplit

import pytest
from support.excerpts import assert_excerpts
from support.program import ROOT, free_port
from support.recipe import ask
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from tatsumaki_py.testing import Subscriber, until

FOLDER = "examples/recipes/jupyter_server_extension"
TOKEN = {"Authorization": "token secret"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder in which pip has installed the extension and the file that enables it."""
    source, target = (tmp_path_factory.mktemp(name) for name in ("source", "target"))
    # A build writes into the folder.
    shutil.copytree(ROOT / FOLDER, source, dirs_exist_ok=True)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--target", target]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, source], check=True)
    return target


@pytest.fixture
def jupyter(installed, popen, tmp_path):
    """The URL of a server with a prefix, as a JupyterHub starts it."""
    for package in ("jupyter_server", "ipykernel"):
        pytest.importorskip(package)
    port = free_port()
    # The extension of Panel takes two seconds to start.
    off = {"ServerApp": {"jpserver_extensions": {"panel.io.jupyter_server_extension": False}}}
    (tmp_path / "jupyter_server_config.json").write_text(json.dumps(off))
    popen(
        *(sys.executable, "-m", "jupyter_server", "--ip=127.0.0.1", f"--port={port}"),
        *("--ServerApp.base_url=/user/ann/", "--IdentityProvider.token=secret"),
        *("--no-browser", "--allow-root", f"--ServerApp.root_dir={tmp_path}"),
        stdout=subprocess.DEVNULL,
        environment={
            "PYTHONPATH": str(installed),
            "JUPYTER_CONFIG_PATH": str(installed / "etc/jupyter"),
            **{f"JUPYTER_{kind}_DIR": str(tmp_path) for kind in ("CONFIG", "DATA", "RUNTIME")},
        },
    )
    return f"http://127.0.0.1:{port}/user/ann/", tmp_path / "log"


def listens(url):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", urlsplit(url).port)) == 0


async def run_in_kernel(url, code):
    """Runs code in a new kernel, as a notebook does. Returns a function that ends the kernel."""
    kernel = json.loads((await ask(f"{url}api/kernels", "POST", "{}", **TOKEN)).body)
    channels = f"{url.replace('http', 'ws', 1)}api/kernels/{kernel['id']}/channels"
    connection = await websocket_connect(HTTPRequest(channels, headers=TOKEN))
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "version": "5.3"}
    header |= {"session": uuid.uuid4().hex, "username": "", "date": "2026-01-01T00:00:00Z"}
    content = {"code": code, "silent": False}
    message = {"channel": "shell", "header": header, "content": content}
    await connection.write_message(json.dumps(message | {"parent_header": {}, "metadata": {}}))

    async def end():
        connection.close()
        await ask(f"{url}api/kernels/{kernel['id']}", "DELETE", **TOKEN)

    return end


@pytest.mark.gen_test(timeout=40)
async def test_extension(jupyter):
    url, log = jupyter
    await until(lambda: listens(url), 15)
    events, publish = f"{url}live/events/news", f"{url}live/publish/news"

    # A client without a token is refused.
    async with Subscriber(events, "sse", headers=TOKEN) as client:
        for transport in ("sse", "websocket", "long-poll"):
            stranger = Subscriber(events, transport)
            assert (await stranger.open()).status in (302, 403)
            stranger.close()
        assert (await ask(publish, "POST", "text=x")).code == 403
        assert (await ask(f"{url}live")).code == 302

        # A browser that has logged in also needs the XSRF token.
        page = await ask(f"{url}live?token=secret")
        cookies = "; ".join(line.split(";")[0] for line in page.headers.get_list("Set-Cookie"))
        assert (await ask(publish, "POST", "text=x", Cookie=cookies)).code == 403
        xsrf = page.body.decode().partition('"X-XSRFToken": "')[2].partition('"')[0]
        reply = await ask(publish, "POST", "text=page", Cookie=cookies, X_XSRFToken=xsrf)
        assert reply.code == 200
        assert await client.take(1) == [{"text": "page"}]
        async with Subscriber(events, "websocket", headers={"Cookie": cookies}) as browser:
            assert await browser.take(1) == [{"text": "page"}]
        assert b"class Subscription" in (await ask(f"{url}live/tatsumaki.js")).body

        # A kernel publishes while the client is away.
        client.close()
        code = 'from jupyter_live import publisher; publisher().publish("news", {"text": "kernel"})'
        end_kernel = await run_in_kernel(url, code)
        async with Subscriber(events, "long-poll", cursor=client.cursor, headers=TOKEN) as other:
            assert await other.take(1) == [{"text": "kernel"}]
        await client.reconnect()
        await client.assert_delivered([{"text": "page"}, {"text": "kernel"}], allow_gap=False)
        await end_kernel()
    assert "Traceback" not in log.read_text()


def test_page():
    """The page shows the program."""
    assert_excerpts(
        "docs/recipes/jupyter-server-extension.md",
        *(f"{FOLDER}/jupyter_live/{name}.py" for name in ("__init__", "app", "handlers")),
        f"{FOLDER}/jupyter_live.json",
        f"{FOLDER}/pyproject.toml",
        languages=("py", "json", "toml"),
    )
