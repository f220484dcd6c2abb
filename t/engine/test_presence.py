"""presence: the engine keeps track of the clients of several processes."""

import asyncio

import pytest
from engine.feed import Clients, answer
from support.answers import until

ROOM = ("room",)


@pytest.fixture
def here(engine):
    """The clients of this process."""
    clients = Clients()
    engine.presence.connect(clients)
    return clients


@pytest.fixture
def there(other):
    """The clients of another process."""
    clients = Clients()
    other.presence.connect(clients)
    return clients


@pytest.mark.gen_test
async def test_comes_and_goes(engine, other, here, there):
    """A client arrives once and leaves once, even if it is connected to two processes."""
    assert await engine.presence.arrive(ROOM, "me", "", 30.0)
    assert not await engine.presence.arrive(ROOM, "me", "", 30.0)
    assert not await other.presence.arrive(ROOM, "me", "", 30.0)
    assert not await engine.presence.gone(ROOM, "me")
    assert await other.presence.gone(ROOM, "me")
    assert await engine.presence.arrive(ROOM, "me", "", 30.0)
    assert await engine.presence.gone(ROOM, "me")


@pytest.mark.gen_test
async def test_others(engine, other, here, there):
    """A different name, channel or set of channels makes a different client."""
    assert await engine.presence.arrive(ROOM, "me", "", 30.0)
    for channels, name in ((ROOM, "you"), (("hall",), "me"), (("hall", "room"), "me")):
        assert await other.presence.arrive(channels, name, "", 30.0)
    for channels, name in ((("a", "b,c"), "me"), (("a,b", "c"), "me"), (("a,b,c",), "me")):
        assert await engine.presence.arrive(channels, name, "", 30.0)
    assert here.taken == there.taken == []


@pytest.mark.gen_test
async def test_takes_over(engine, other, here, there):
    """A new poll ends the poll in another process and starts at its place, not at the kept one."""
    await engine.presence.arrive(ROOM, "me", "", 30.0)
    engine.remember(ROOM, "me", "1-1", 30.0)
    here.places[ROOM, "me"] = "5-1"
    new = other.presence.arrive(ROOM, "me", "", 30.0)
    assert await answer(other.recall(ROOM, "me")) == "5-1"
    assert not await new
    assert here.taken == [(ROOM, "me")]
    # The client returns to the first process.
    there.places[ROOM, "me"] = "7-1"
    engine.presence.arrive(ROOM, "me", "", 30.0)
    assert await answer(engine.recall(ROOM, "me")) == "7-1"
    assert there.taken == [(ROOM, "me")]


@pytest.mark.gen_test
async def test_a_place_that_is_not_known(engine, other, here, there):
    """If the other process does not know the place, `recall` returns the remembered one."""
    await engine.presence.arrive(ROOM, "me", "", 30.0)
    engine.remember(ROOM, "me", "1-1", 30.0)
    assert await answer(engine.recall(ROOM, "me")) == "1-1"
    other.presence.arrive(ROOM, "me", "", 30.0)
    assert await answer(other.recall(ROOM, "me")) == "1-1"


@pytest.mark.gen_test
async def test_at_once(engine, other, here, there):
    """The answers come in the order of the calls, even if no code awaits them."""
    done = []
    for call in (engine.presence.arrive(ROOM, "me", "", 30.0), engine.presence.gone(ROOM, "me")):
        call.add_done_callback(lambda future: done.append(future.result()))
    again = engine.presence.arrive(ROOM, "me", "", 30.0)
    await again
    await asyncio.sleep(0)
    assert done == [True, True]
    assert again.result()


@pytest.mark.gen_test
async def test_the_process_has_ended(engine, make_engine, here, other, there):
    """A client that reconnects in time is not new; if it does not, one process calls its hook."""
    for name in ("back", "away", "silent", "late", "unknown"):
        hook = {"silent": "", "unknown": "app.Unknown"}.get(name, "app.Events")
        await engine.presence.arrive(ROOM, name, hook, 30.0 if name == "late" else 0.05)
    engine.remember(ROOM, "back", "3-1", 30.0)
    third, its = make_engine(), Clients()
    its.hooks = {""}
    third.presence.connect(its)
    for one in (third, other):
        await one.presence.arrive(("hall",), "me", "", 30.0)
    await engine.close()
    assert not await other.presence.arrive(ROOM, "back", "app.Events", 30.0)
    assert await answer(other.recall(ROOM, "back")) == "3-1"
    await until(lambda: len(there.left + its.left) == 2)
    assert (ROOM, "away", "app.Events") in there.left
    assert (ROOM, "silent", "") in there.left + its.left
    assert await other.presence.arrive(ROOM, "away", "", 30.0)
    for name in ("back", "late", "unknown"):
        assert not await third.presence.arrive(ROOM, name, "", 30.0)
    await third.close()


@pytest.mark.gen_test
async def test_count(engine, other, here, there):
    """`count` returns how many clients the other processes have."""
    there.places = {(ROOM, "a"): "", (ROOM, "b"): "", (("hall",), "a"): ""}
    here.places = {(ROOM, "c"): ""}
    await other.presence.arrive(("hall",), "a", "", 30.0)
    await engine.presence.arrive(ROOM, "c", "", 30.0)
    assert await engine.presence.count(ROOM) == 2
    assert await other.presence.count(ROOM) == 1
    assert await engine.presence.count(("hall", "room")) == 0


@pytest.mark.gen_test
async def test_messages(engine, other, here, there):
    """Every process but the sender gets the messages, in order, even if it has no client."""
    other.presence.begin()
    engine.presence.begin()
    # When `count` has answered, both processes receive messages.
    await engine.presence.count(ROOM)
    await other.presence.count(ROOM)
    for number in range(100):
        engine.presence.send(b"%d" % number)
    await until(lambda: len(there.received) == 100)
    assert there.received == [b"%d" % number for number in range(100)]
    assert here.received == []
