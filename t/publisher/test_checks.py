"""A publisher refuses what `MessageQueue.publish` refuses, before it sends anything."""

import datetime
import json

import pytest

from tatsumaki_py import MessageQueue
from tatsumaki_py.publisher import Publisher

NOWHERE = "http://127.0.0.1:1/publish/{channel}"


class Dated(MessageQueue):
    json = json.JSONEncoder(default=str)


@pytest.mark.parametrize(
    "events",
    [
        [{"when": datetime.date(2026, 1, 1)}],
        [float("nan")],
        ["\ud800"],
        [{(1, 2): 3}],
        [{"type": "gap"}],
        [1, "x" * (1024 * 1024)],
    ],
)
def test_events(events):
    """A publisher raises the same exception, with the same text, as `MessageQueue.publish`."""
    with pytest.raises(Exception) as expected:  # noqa: PT011
        MessageQueue.instance("room").publish(*events)
    with pytest.raises(expected.type) as caught:
        Publisher(NOWHERE).publish("room", *events)
    assert (str(caught.value), type(caught.value)) == (str(expected.value), expected.type)


BAD_JSON = [b"{bad", b"", b"1 2", b"NaN", b'"\xff"', b'{"type":"gap"}', b"[" * 101 + b"]" * 101]


@pytest.mark.parametrize("body", BAD_JSON)
def test_bad_json(body):
    """`publish_json` refuses invalid JSON, which would break the channel for all clients."""
    with pytest.raises(ValueError, match=r"not JSON: |not an event: "):
        Publisher(NOWHERE).publish_json("room", b"{}", body)


def test_text():
    with pytest.raises(TypeError, match="publish_json takes bytes, not str: publish takes values"):
        Publisher(NOWHERE).publish_json("room", "{}")


@pytest.mark.parametrize(("channel", "key"), [("x" * 1025, None), (b"x", None), ("x", "")])
def test_names(channel, key):
    with pytest.raises(Exception) as expected:  # noqa: PT011
        MessageQueue.instance(channel).publish(1, idempotency_key=key)
    with pytest.raises(expected.type) as caught:
        Publisher(NOWHERE).publish(channel, 1, idempotency_key=key)
    assert str(caught.value) == str(expected.value)


def test_too_many():
    """More events than an engine accepts in one call raise a 413."""
    with pytest.raises(Exception, match="up to 1000 events, not 1001") as caught:
        Publisher(NOWHERE).publish("a", *range(1001))
    assert caught.value.code == 413


def test_encoder():
    """A publisher can have its own JSON encoder and its own `max_event_size`."""
    day = datetime.date(2026, 1, 1)
    assert Publisher(NOWHERE, json=Dated.json).publish("a") == []
    with pytest.raises(Exception, match="an event of 12 bytes exceeds the maximum of 11"):
        Publisher(NOWHERE, json=Dated.json, max_event_size=11).publish("a", day)


@pytest.mark.parametrize(
    ("url", "options", "error"),
    [
        (
            "memory:",
            {},
            "the events of memory: belong to one process: publish through a PublishHandler",
        ),
        ("sqlite:events.db", {}, "publish through a PublishHandler of that process, with its URL"),
        ("ftp://user:secret@host", {}, r"URL must begin with .* 'ftp://user:\*\*\*@host'"),
        ("http://", {}, "Bad URL: no host"),
        ("redis://host?publish_timeout=0", {}, "publish_timeout"),
        (NOWHERE, {"publish_timeout": 0}, "publish_timeout must be 0.05 to 300 seconds, not 0"),
        (NOWHERE, {"headers": {"a b": "c"}}, "not a header name: 'a b'"),
        (None, {}, "a Publisher needs a URL: .* TATSUMAKI_ENGINE in the environment"),
    ],
)
def test_urls(url, options, error, monkeypatch):
    monkeypatch.delenv("TATSUMAKI_ENGINE", raising=False)
    with pytest.raises(ValueError, match=error):
        Publisher(url, **options)


def test_options_of_the_other_kind():
    with pytest.raises(TypeError, match="an http:// URL does not take the option linger"):
        Publisher(NOWHERE, linger=1)
    with pytest.raises(TypeError, match="headers need an http:// or https:// URL"):
        Publisher("redis://", headers={"a": "b"})
