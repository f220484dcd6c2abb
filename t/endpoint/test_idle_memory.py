"""An idle subscriber needs little memory."""

import gc
import sys

import pytest
from support.wire import soon

SHARED = 400
"""Bytes: more than a dict that shares its names with its class, less than any other."""


@pytest.mark.gen_test
async def test_a_handler_has_its_names_in_the_class(handler, subscriber, queue, stream):
    """Handlers share the names of their attributes: CPython keeps up to 30 names in a class."""
    clients = [subscriber(stream) for _ in range(3)]
    for client in clients:
        await client.open()
    await soon(lambda: len(queue.clients) == len(clients))
    sizes = [sys.getsizeof(vars(one)) for one in gc.get_objects() if type(one) is handler]
    assert len(sizes) == len(clients)
    assert max(sizes) < SHARED
