"""`Members` keeps handlers by key, and changes only in the thread of the event loop."""

import asyncio
import threading

import pytest

from tatsumaki_py import MessageQueue
from tatsumaki_py.endpoint.members import Members


class Over:
    """A stand-in for a handler."""

    def _peer_left(self):
        return False


class Noting(Members):
    """`Members` that notes the threads in which it is changed."""

    def __init__(self):
        super().__init__()
        self.threads = []

    def _remove(self, member):
        self.threads.append(threading.get_ident())
        super()._remove(member)


@pytest.mark.gen_test
async def test_freed_in_another_thread():
    """If a handler is freed in another thread, the loop removes it from the members."""
    MessageQueue.instance("room").disconnect()
    members, kept = Noting(), [Over(), Over()]
    for key, handler in zip(("ann", "bob"), kept, strict=True):
        members.add(key, handler)
    del handler
    await asyncio.to_thread(kept.__delitem__, 1)
    await asyncio.sleep(0)
    assert members.threads == [threading.get_ident()]
    assert (len(members.of("ann")), len(members.of("bob"))) == (1, 0)


def test_freed_while_another_comes():
    """The first handler of a key may be freed at the moment when the second one is added."""
    members, kept = Members(), [Over()]
    members.add("ann", kept[0])

    class Freeing(set):
        def add(self, member):
            kept.clear()
            super().add(member)

    members._members["ann"] = Freeing(members._members["ann"])
    second = Over()
    members.add("ann", second)
    assert [member() for member in members.of("ann")] == [second]
