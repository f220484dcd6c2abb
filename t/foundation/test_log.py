"""The log watch, seen from a test that passes; the failing ones are in test_failures.py."""

import logging

import pytest


def test_announced_line_is_swallowed(expect_log):
    """A line that was announced fails nothing, and its record can be looked at."""
    with expect_log("tatsumaki", "queue .* full") as records:
        logging.getLogger("tatsumaki.queue").error("queue %s is full", "a")
    assert [record.levelname for record in records] == ["ERROR"]


def test_announced_line_that_does_not_come_fails(expect_log):
    """What was announced must come, from that logger and in these words."""
    with pytest.raises(pytest.fail.Exception, match="no log line"), expect_log("tatsumaki", "boo"):
        logging.getLogger("tatsumaki").info("boo")


def test_other_loggers_and_words_do_not_match(log_watch):
    """Neither another logger nor one whose name only begins alike counts as announced."""
    lines = [("tatsumakis", "boo"), ("other", "boo"), ("tatsumaki", "bar")]
    with log_watch.expect("tatsumaki", "boo"):
        for name, message in [*lines, ("tatsumaki", "boo")]:
            logging.getLogger(name).warning(message)
    assert [(record.name, record.msg) for record in log_watch.unexpected] == lines
    log_watch.unexpected.clear()


def test_access_log_is_exempt():
    """Lines of tornado.access, and INFO lines of anybody, fail nothing."""
    logging.getLogger("tornado.access").error("500 GET /")
    logging.getLogger("tatsumaki").info("listening")
