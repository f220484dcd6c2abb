"""`log` is called as in Perl, and is a logger."""

import copy
import logging

import pytest
import tornado.web

from tatsumaki_py import Application, Handler
from tatsumaki_py.logger import Log


class Called(Handler):
    def get(self):
        name = self.request.param("name")
        self.log("%s came", name)
        self.log("100% sure")
        self.log("came: ", name, 1, None)
        self.log(name)


class Logger(Handler):
    def get(self):
        self.log.warning("%s came", "bob", extra={"room": "red"})
        try:
            raise ValueError("x")
        except ValueError:
            self.log.exception("failed")
        self.write([self.log.isEnabledFor(logging.DEBUG), self.log.name, self.log.propagate])


class Theirs(tornado.web.RequestHandler):
    """A handler of another library with a logger `log`, as in Jupyter Server."""

    @property
    def log(self):
        return logging.getLogger("theirs")


class Ours(Called, Theirs):
    pass


class Reversed(Theirs, Called):
    def get(self):
        self.log.info("came")


class Adapted(Called):
    @property
    def log(self):
        return logging.getLogger("other")

    def get(self):
        self.log.info("came")


class Assigned(Handler):
    def initialize(self):
        self.log = logging.getLogger("mine")

    def get(self):
        self.log.info("came")


class Mixin:
    """A class whose `log` is a method, not a logger."""

    def log(self, text):
        raise AssertionError


class BesideAMethod(Called, Mixin):
    pass


@pytest.fixture
def app():
    kinds = (Called, Logger, Ours, Reversed, Adapted, Assigned, BesideAMethod)
    return Application([(f"/{kind.__name__}", kind) for kind in kinds])


@pytest.fixture
def lines(caplog):
    """Returns the logged lines as ``logger: text``."""
    caplog.set_level(logging.INFO)

    def read():
        records = [record for record in caplog.records if not record.name.startswith("tornado")]
        assert {record.filename for record in records} == {"test_log.py"}
        return [f"{record.name}: {record.getMessage()}" for record in records]

    return read


CALLED = ["bob came", "100% sure", "came: bob1None", "bob"]


@pytest.mark.parametrize(
    ("path", "name"), [("Called", "tatsumaki"), ("Ours", "theirs"), ("BesideAMethod", "tatsumaki")]
)
@pytest.mark.gen_test
async def test_call(fetch, lines, caplog, path, name):
    """`log` logs at level INFO. Arguments replace each %, or are appended if the message has none.
    The logger is that of a class further along the MRO, otherwise "tatsumaki".
    """
    await fetch(f"/{path}?name=bob")
    assert lines() == [f"{name}: {line}" for line in CALLED]
    assert {record.levelname for record in caplog.records} == {"INFO"}


@pytest.mark.gen_test
async def test_call_escapes(fetch, lines):
    """Control characters in any argument are escaped."""
    await fetch("/Called?name=a%0Ab%1B")
    name = r"a\x0ab\x1b"
    assert lines()[0] == f"tatsumaki: {name} came"
    assert lines()[2:] == [f"tatsumaki: came: {name}1None", f"tatsumaki: {name}"]


@pytest.mark.parametrize(
    ("path", "name"), [("Reversed", "theirs"), ("Adapted", "other"), ("Assigned", "mine")]
)
@pytest.mark.gen_test
async def test_replaced(fetch, lines, path, name):
    """A subclass, an earlier base class or an assignment can replace `log`."""
    await fetch(f"/{path}")
    assert lines() == [f"{name}: came"]


@pytest.mark.gen_test
async def test_logger(fetch, caplog, expect_log):
    """`log` has the methods and attributes of a logger."""
    with expect_log("tatsumaki", "bob came"), expect_log("tatsumaki", "failed") as failed:
        assert (await fetch("/Logger")).body == b'[false,"tatsumaki",true]'
    assert failed[0].exc_info[0] is ValueError
    assert next(r.room for r in caplog.records if r.getMessage() == "bob came") == "red"


def test_copy():
    """A copy of `log` also logs."""
    log = copy.copy(Log(logging.getLogger("x")))
    assert log.getChild("y").name == "x.y"
