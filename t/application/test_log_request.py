"""The access log."""

import asyncio
import logging
import re
import time

import pytest
import tornado.web

from tatsumaki_py import Application, Handler


class Stepping(Handler):
    """Sets the clock back by a day while it answers."""

    async def get(self):
        await asyncio.sleep(0.02)
        Steps.offset -= 86400.0


class Plain(tornado.web.RequestHandler):
    get = Stepping.get


class Stream(Handler):
    async def get(self):
        await self.stream_write("x")
        await Stepping.get(self)


class Steps:
    offset = 0.0


RULES = [("/ours", Stepping), ("/stream", Stream), ("/plain", Plain)]


@pytest.fixture(params=[Application, tornado.web.Application])
def app(request):
    # Tornado alone logs the requests of its own handlers in its own application.
    return request.param(RULES if request.param is Application else RULES[:2])


@pytest.mark.gen_test
async def test_a_clock_that_steps(fetch, app, caplog, monkeypatch):
    """The durations in the access log are correct even if the clock is set back."""
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + Steps.offset)
    caplog.set_level(logging.INFO, "tornado.access")
    paths = [path for path, _ in (RULES if isinstance(app, Application) else RULES[:2])]
    for path in paths:
        assert (await fetch(path)).code == 200
    lines = [r.getMessage() for r in caplog.records if r.name == "tornado.access"]
    times = [float(re.search(r"([-\d.]+)ms$", line)[1]) for line in lines]
    assert len(times) == len(paths)
    assert all(10 < milliseconds < 5000 for milliseconds in times)
