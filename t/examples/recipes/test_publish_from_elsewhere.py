"""Programs without an event loop publish: a Celery task, commands of cron and a Django view."""

import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from celery import Celery
from support.excerpts import assert_excerpts
from support.program import ROOT, free_port

from tatsumaki_py.testing import Subscriber

FOLDER = ROOT / "examples/recipes/publish-from-elsewhere"
APP = "examples/recipes/publish-from-elsewhere/app.py"
NAMES = ("app.py", "tasks.py", "shop.py", "crontab")
BIN = Path(sys.executable).parent


def publish_url(program):
    return program.url.replace("//", "//shop:sesame@") + "publish/{channel}"


@pytest.fixture
def app(serve_program):
    """The push server, with its events in memory."""
    return serve_program(APP, environment={"PUBLISH_SECRET": "sesame"})


def listed(log):
    return log.read_text() if log.exists() else ""


def wait_for(log, text):
    deadline = time.monotonic() + 15
    while not re.search(text, listed(log)):
        assert time.monotonic() < deadline, listed(log)
        time.sleep(0.02)


@pytest.mark.gen_test
async def test_celery(app, redis_server, popen, tmp_path):
    """A task that runs twice publishes once; without a server, it is retried later."""
    environment = {"BROKER": redis_server.url, "PUBLISH_URL": publish_url(app)}
    worker = [BIN / "celery", "-A", "tasks", "worker", "--concurrency=1", "--loglevel=INFO"]
    worker += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    popen(*worker, cwd=FOLDER, environment=environment)
    log = tmp_path / "log"
    with Celery(broker=redis_server.url) as celery:
        async with Subscriber(f"{app.url}events/orders") as client:
            celery.send_task("tasks.ship", [1], task_id="one")
            celery.send_task("tasks.ship", [1], task_id="one")
            celery.send_task("tasks.ship", [2])
            shipped = [{"order": number, "state": "shipped"} for number in (1, 2)]
            assert await client.take(2) == shipped
            app.stop()
            celery.send_task("tasks.ship", [3])
            wait_for(log, "Retry in 1s")
            app.start()
            await client.reconnect()
            assert (await client.next()).gap
            assert await client.take(1) == [{"order": 3, "state": "shipped"}]
    assert "Traceback" not in listed(log)


@pytest.mark.gen_test
async def test_cron(app, tmp_path):
    """Each line of the crontab runs in the shell, and both lines publish one event in all."""
    (tmp_path / "stock").write_text("98")
    (tmp_path / "push-header").write_text("Authorization: Basic c2hvcDpzZXNhbWU=\n")
    async with Subscriber(f"{app.url}events/orders") as client:
        await client.start()
        commands = cron_lines()
        for command in commands:
            run = subprocess.run(
                ["/bin/sh", "-c", command],
                cwd=tmp_path,
                env={
                    **os.environ,
                    "PATH": f"{BIN}:{os.environ['PATH']}",
                    "PUBLISH_URL": f"{app.url}publish/orders",
                },
                capture_output=True,
                text=True,
                check=False,
            )
            assert (run.returncode, run.stderr) == (0, "")
        assert len(commands) == 2
        await client.assert_delivered([{"stock": 98}])


def cron_lines():
    """The commands of the crontab, as cron passes them to the shell."""
    lines = re.findall(r"^(?:\S+ ){5} (.+)", (FOLDER / "crontab").read_text(), re.M)
    return [line.replace(r"\%", "%") for line in lines]


class Shop:
    def __init__(self, port, log):
        self.url = f"http://127.0.0.1:{port}/orders"
        self.log = log

    def order(self, **fields):
        """The status and the body of the answer."""
        try:
            data = urllib.parse.urlencode(fields).encode()
            with urllib.request.urlopen(self.url, data, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


@pytest.fixture
def open_shop(popen, tmp_path):
    """`shop = open_shop(url)` starts the Django project, which publishes to `url`."""

    def start(url):
        port = free_port()
        environment = {"PUBLISH_URL": url, "PORT": str(port)}
        process = popen(sys.executable, FOLDER / "shop.py", environment=environment)
        assert process.stdout.readline() == f"Listening on http://127.0.0.1:{port}/\n"
        return Shop(port, tmp_path / "log")

    return start


@pytest.mark.gen_test
async def test_django(app, open_shop):
    """The view publishes only after a commit, and answers even without the push server."""
    shop = open_shop(publish_url(app))
    async with Subscriber(f"{app.url}events/orders") as client:
        await client.start()
        assert shop.order(item="tea", count=2) == (200, '{"order": 1}')
        assert shop.order(item="coffee", count=2) == (409, '{"error": "only 1 of coffee left"}')
        assert shop.order(item="tea", count=1) == (200, '{"order": 2}')
        await client.assert_delivered([{"order": n, "state": "new"} for n in (1, 2)])
    app.stop()
    asked = time.monotonic()
    assert shop.order(item="tea", count=1) == (200, '{"order": 3}')
    assert 0.9 < time.monotonic() - asked < 3
    assert "Error calling" in shop.log.read_text()
    assert "sesame" not in shop.log.read_text()


@pytest.mark.gen_test
async def test_django_through_redis(serve_program, redis_server, open_shop):
    """The view publishes through the Redis of the servers, even while they are stopped."""
    app = serve_program(APP, environment={"TATSUMAKI_ENGINE": redis_server.url})
    shop = open_shop(redis_server.url)
    async with Subscriber(f"{app.url}events/orders") as client:
        await client.start()
        shop.order(item="tea", count=2)
        assert await client.take(1) == [{"order": 1, "state": "new"}]
        app.stop()
        shop.order(item="tea", count=1)
        app.start()
        await client.reconnect()
        await client.assert_delivered([{"order": n, "state": "new"} for n in (1, 2)])


def test_the_page():
    """The page shows the code of the programs."""
    programs = [f"examples/recipes/publish-from-elsewhere/{name}" for name in NAMES]
    languages = ("python", "py", "text")
    assert_excerpts("docs/recipes/publish-from-elsewhere.md", *programs, languages=languages)
