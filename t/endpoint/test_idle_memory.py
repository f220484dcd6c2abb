"""The memory of an idle subscriber."""

import gc
import sys

import pytest
from support.wire import soon

SHARED = 400
"""Bytes: more than a dict whose names are in the class, less than one that has them for itself."""


@pytest.mark.gen_test
async def test_a_handler_has_its_names_in_the_class(handler, subscriber, queue, stream):
    """CPython keeps up to 30 names of attributes in a class."""
    clients = [subscriber(stream) for _ in range(3)]
    for client in clients:
        await client.open()
    await soon(lambda: len(queue.clients) == len(clients))
    sizes = [sys.getsizeof(vars(one)) for one in gc.get_objects() if type(one) is handler]
    assert len(sizes) == len(clients)
    assert max(sizes) < SHARED
