"""Fails a test for each log line of level WARNING or above that the test did not announce."""

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
        # Each 4xx is logged there as a WARNING, each 5xx as an ERROR; tests check the answers.
        if record.name != "tornado.access":
            self.unexpected.append(record)

    @contextlib.contextmanager
    def expect(self, logger, pattern):
        """Announces lines of `logger`, or of a logger below it, that match `pattern` (a regex).

        Gives the list of their records (`logging.LogRecord`), so that a test can check
        `records[0].exc_info`. Fails if no such line was logged in the block.
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
    """The outermost fixture, so that it also sees the log lines of the teardown of the others."""
    watch = LogWatch()
    root = logging.getLogger()
    root.addHandler(watch)
    yield watch
    # Futures and tasks log errors when they are collected: collect them in their own test.
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
    """Excludes all objects so far from garbage collection, so that each collection costs little."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item, nextitem):
    """Also excludes the objects after each module of tests, which may import large packages."""
    if nextitem is None or nextitem.path != item.path:
        gc.collect()
        gc.freeze()
