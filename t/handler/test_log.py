"""`log` writes to the logger "tatsumaki"."""

import logging

import pytest

from tatsumaki_py import Application, Handler


class Log(Handler):
    def get(self):
        self.log("%s came", self.request.param("name"))
        self.log("100% sure")


@pytest.fixture
def app():
    return Application([("/", Log)])


@pytest.mark.gen_test
async def test_log(fetch, caplog):
    """The level is INFO; arguments are filled in, and without any nothing is."""
    caplog.set_level(logging.INFO, "tatsumaki")
    await fetch("/?name=bob")
    records = [record for record in caplog.records if record.name == "tatsumaki"]
    assert [record.getMessage() for record in records] == ["bob came", "100% sure"]
    assert {record.levelname for record in records} == {"INFO"}
