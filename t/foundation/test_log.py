"""The log watch in tests that pass; those that fail are in test_failures.py."""

import logging

import pytest


def test_announced_line_is_swallowed(expect_log):
    """An expected line does not fail the test, and its record can be inspected."""
    with expect_log("tatsumaki", "queue .* full") as records:
        logging.getLogger("tatsumaki.queue").error("queue %s is full", "a")
    assert [record.levelname for record in records] == ["ERROR"]


def test_announced_line_that_does_not_come_fails(expect_log):
    """An expected line that is not logged, by that logger and in these words, fails the test."""
    with pytest.raises(pytest.fail.Exception, match="no log line"), expect_log("tatsumaki", "boo"):
        logging.getLogger("tatsumaki").info("boo")


def test_other_loggers_and_words_do_not_match(log_watch):
    """A line of another logger, even one with the same beginning of its name, does not match."""
    lines = [("tatsumakis", "boo"), ("other", "boo"), ("tatsumaki", "bar")]
    with log_watch.expect("tatsumaki", "boo"):
        for name, message in [*lines, ("tatsumaki", "boo")]:
            logging.getLogger(name).warning(message)
    assert [(record.name, record.msg) for record in log_watch.unexpected] == lines
    log_watch.unexpected.clear()


def test_access_log_is_exempt():
    """Lines of `tornado.access`, and INFO lines of all loggers, do not fail a test."""
    logging.getLogger("tornado.access").error("500 GET /")
    logging.getLogger("tatsumaki").info("listening")
