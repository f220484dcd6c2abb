"""`publish_json` publishes bytes of JSON unchanged."""

import pytest

from tatsumaki_py import Error, MessageQueue

BODY = b'{"b" : 1.50, "a":"\\u00e9"}'


@pytest.mark.gen_test
async def test_bytes_are_kept():
    """The bytes are kept; in Python, the event is like any other event."""
    queue = MessageQueue.instance("room")
    (id,) = await queue.publish_json(BODY)
    (event,) = queue.backlog_events
    assert (event.json, event.id) == (BODY, id)
    assert event == {"b": 1.5, "a": "\u00e9"}


@pytest.mark.gen_test
async def test_idempotency_key():
    """The same bytes with the same idempotency key are published once."""
    queue = MessageQueue.instance("room")
    first = await queue.publish_json(BODY, b"{}", idempotency_key="k")
    assert await queue.publish_json(BODY, b"{}", idempotency_key="k") == first
    assert len(queue.backlog_events) == 2
    with pytest.raises(Error.HTTP) as caught:
        queue.publish_json(b'{"n":1}', idempotency_key="k")
    assert caught.value.code == 422


def test_text():
    """A str raises a TypeError, and nothing is published."""
    queue = MessageQueue.instance("room")
    with pytest.raises(TypeError, match="publish_json takes bytes, not str: publish takes values"):
        queue.publish_json(b"{}", "{}")
    assert queue.backlog_events == []


def test_too_large():
    """An event that is too large raises a 413, and nothing is published."""
    queue = MessageQueue.instance("room")
    queue.max_event_size = 20
    with pytest.raises(Error.HTTP) as caught:
        queue.publish_json(b"{}", BODY)
    assert caught.value.code == 413
    assert queue.backlog_events == []
