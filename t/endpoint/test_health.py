"""`HealthHandler` answers a load balancer."""

import asyncio
import time

import pytest
import tornado.web

from tatsumaki_py import Application, HealthHandler
from tatsumaki_py.health import Health


class Patient(HealthHandler):
    max_loop_lag = None


pytestmark = pytest.mark.usefixtures("app")


@pytest.fixture(params=[Application, tornado.web.Application])
def app(request):
    return request.param([("/health", HealthHandler), ("/patient", Patient)])


@pytest.fixture
def health(io_loop):
    """The `Health` of the loop, which is reset after the test."""

    async def current():
        return Health.current()

    health = io_loop.run_sync(current)
    yield health
    health.draining = False
    health.checks.clear()


@pytest.mark.gen_test
async def test_well(fetch):
    """The answer is an uncacheable `ok`, even to a HEAD or a conditional request."""
    answer = await fetch("/health")
    assert (answer.code, answer.body) == (200, b"ok\n")
    assert answer.headers["Content-Type"] == "text/plain; charset=UTF-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert not {"Etag", "Retry-After"} & set(answer.headers)
    head = await fetch("/health", method="HEAD")
    assert (head.code, head.body, head.headers["Content-Length"]) == (200, b"", "3")
    assert (await fetch("/health", headers={"If-None-Match": "*"})).code == 200


@pytest.mark.gen_test
async def test_draining(fetch, health):
    """A server that is about to stop answers with 503."""
    health.draining = True
    for method in ("GET", "HEAD"):
        answer = await fetch("/health", method=method)
        assert (answer.code, answer.headers["Retry-After"]) == (503, "5")
    assert (await fetch("/health")).body == b"draining\n"


@pytest.mark.gen_test
async def test_checks(fetch, health, expect_log):
    """The answer contains the first reason. A check that raises an exception counts as failed, and
    is logged.
    """
    reasons = [None]
    health.checks += [lambda: None, lambda: reasons[0]]
    assert (await fetch("/health")).code == 200
    reasons[0] = "the engine is away"
    assert (await fetch("/health")).body == b"the engine is away\n"
    health.checks.insert(0, lambda: 1 / 0)
    with expect_log("tatsumaki", "a check of the server's health raised"):
        answer = await fetch("/health")
    assert (answer.code, answer.body) == (503, b"a check failed\n")


@pytest.mark.gen_test
async def test_a_loop_that_is_late(fetch, monkeypatch):
    """If the loop was recently blocked for longer than `max_loop_lag`, the answer is 503."""
    monkeypatch.setattr(HealthHandler, "max_loop_lag", 0.05)
    assert (await fetch("/health")).code == 200
    await asyncio.sleep(0.2)
    time.sleep(0.2)
    answer = await fetch("/health")
    assert (answer.code, answer.headers["Retry-After"]) == (503, "5")
    assert answer.body.startswith(b"the event loop is 0.")
    assert (await fetch("/patient")).code == 200
