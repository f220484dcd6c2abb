"""A log line of level WARNING or above that was not announced fails the test."""

import contextlib
import gc
import logging
import re

import pytest


class LogWatch(logging.Handler):
    """Sorts the records that reach the root logger into announced and unexpected ones."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.unexpected = []
        self._announced = []

    def emit(self, record):
        for logger, pattern, records in self._announced:
            if f"{record.name}.".startswith(f"{logger}.") and pattern.search(record.getMessage()):
                records.append(record)
                return
        # Every 4xx is a WARNING there and every 5xx an ERROR: tests look at the answer instead.
        if record.name != "tornado.access":
            self.unexpected.append(record)

    @contextlib.contextmanager
    def expect(self, logger, pattern):
        """Announces lines of `logger` (or one below it) that have `pattern` (a regex) in them.

        Gives the list of their records (`logging.LogRecord`), for a look at `records[0].exc_info`.
        Fails when the block ends and none came.
        """
        announced = (logger, re.compile(pattern), [])
        self._announced.append(announced)
        try:
            yield announced[2]
        finally:
            self._announced.remove(announced)
        if not announced[2]:
            pytest.fail(f"no log line of {logger!r} had {pattern!r} in it")


@pytest.fixture(autouse=True)
def log_watch():
    """Outermost fixture, so that it also sees what the others log on their way out."""
    watch = LogWatch()
    root = logging.getLogger()
    root.addHandler(watch)
    yield watch
    # Futures and tasks complain when they are collected: let them do it in the test they belong to.
    gc.collect()
    root.removeHandler(watch)
    if watch.unexpected:
        lines = map(
            logging.Formatter("%(levelname)s %(name)s: %(message)s").format, watch.unexpected
        )
        pytest.fail("unexpected log lines:\n" + "\n".join(lines), pytrace=False)


@pytest.fixture
def expect_log(log_watch):
    """`with expect_log("tatsumaki", "regex") as records:` announces lines (`LogWatch.expect`)."""
    return log_watch.expect


@pytest.hookimpl(trylast=True)
def pytest_collection_finish():
    """Takes what is loaded by now out of the collector's sight: a collection then costs little."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item, nextitem):
    """Does the same after the last test of a module, which may have imported large packages."""
    if nextitem is None or nextitem.path != item.path:
        gc.collect()
        gc.freeze()
