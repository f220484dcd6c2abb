"""The timer that forgets clients continues if one of its steps fails."""

import pytest
from message_queue.fakes import Taker


@pytest.mark.gen_test
async def test_a_step_that_fails(queue, clock, monkeypatch, expect_log):
    """If forgetting one client fails, the other clients are still forgotten."""
    forget, failed = queue._audience._departures.forget, []

    def failing(client):
        forget(client)
        if not failed:
            failed.append(client.id)
            raise ZeroDivisionError

    monkeypatch.setattr(queue._audience._departures, "forget", failing)
    for name in "abc":
        queue.poll(name, Taker()).cancel()
    with expect_log("asyncio", "Exception in callback"):
        await clock.advance(31)
        await clock.advance(1)
    assert failed == ["a"]
    assert not queue.clients
