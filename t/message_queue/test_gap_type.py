"""An event of the type "gap" cannot be published."""

import pytest
from message_queue.fakes import Taker


@pytest.mark.gen_test
async def test_a_gap_cannot_be_published(queue):
    """Publishing an event of the type "gap" raises a ValueError: a client would assume a loss."""
    for publish in (queue.publish, queue.append_backlog):
        with pytest.raises(ValueError, match='of type "gap"'):
            publish({"n": 1}, {"type": "gap"})
    queue.poll("me", Taker())
    with pytest.raises(ValueError, match='of type "gap"'):
        queue.flush_events("me", {"type": "gap"})
    assert queue.backlog_events == []
