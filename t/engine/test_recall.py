"""recall, remember: the place of a named client is known in every process."""

import pytest
from engine.feed import answer


async def sent(engine):
    """Wait until the places that `engine` remembers have left this process."""
    for channels in (("room",), ("a",), ("a", "b")):
        await answer(engine.recall(channels, "me"))


@pytest.mark.gen_test
async def test_unknown(engine):
    """`recall` returns None for a name that never connected."""
    assert await answer(engine.recall(("room",), "me")) is None


@pytest.mark.gen_test
async def test_elsewhere(engine, other):
    """`recall` returns the latest place, even one that was remembered a moment ago."""
    engine.remember(("room",), "me", "1-1", 30.0)
    await sent(engine)
    assert await answer(other.recall(("room",), "me")) == "1-1"
    other.remember(("room",), "me", "2-1", 30.0)
    other.remember(("room",), "me", "3-1", 30.0)
    assert await answer(other.recall(("room",), "me")) == "3-1"
    assert await answer(engine.recall(("room",), "me")) == "3-1"


@pytest.mark.gen_test
async def test_others(engine, other):
    """Each combination of a name and a set of channels has its own place."""
    engine.remember(("a",), "me", "1-1", 30.0)
    engine.remember(("a", "b"), "me", "2-1,3-1", 30.0)
    await sent(engine)
    assert await answer(other.recall(("a", "b"), "me")) == "2-1,3-1"
    assert await answer(other.recall(("a",), "me")) == "1-1"
    for channels, name in ((("b",), "me"), (("a",), "you"), (("a,b",), "me")):
        assert await answer(other.recall(channels, name)) is None


@pytest.mark.gen_test
async def test_for_a_time(engine, other, passing):
    """The place of a client is forgotten when the given time has passed, and not earlier."""
    engine.remember(("room",), "me", "1-1", passing.life)
    await sent(engine)
    await passing(60)
    assert await answer(other.recall(("room",), "me")) == "1-1"
    await passing(60)
    assert await answer(other.recall(("room",), "me")) is None
