"""A process that was forked from one with a running event loop cannot use the loop's queues."""

import asyncio
import os

import pytest
from message_queue.fakes import Taker
from support.forked import in_fork

from tatsumaki_py import MessageQueue

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on Windows")


@pytest.mark.engines("memory")  # the other engines need a running loop
@pytest.mark.parametrize("thread", [False, True])
@pytest.mark.gen_test
async def test_publish(queue, thread):
    """Publishing in a process forked in any thread raises an error and calls no listener."""
    taker = Taker()
    queue.poll("me", taker)

    def publish():
        try:
            return queue.publish({"n": 1}).result(1)
        finally:
            assert taker.seen == []

    said = await asyncio.to_thread(in_fork, publish) if thread else in_fork(publish)
    assert said.startswith(
        "RuntimeError: the event loop runs in the process that this one was forked from"
    )


@pytest.mark.engines("memory")  # the other engines need a running loop
@pytest.mark.parametrize("thread", [False, True])
@pytest.mark.gen_test
async def test_a_loop_of_its_own(thread):
    """A forked process can start its own loop and use queues in it."""

    async def talk():
        queue = MessageQueue.instance("another")
        queue.publish({"n": 1})
        return await queue.poll_once("me")

    def run():
        return asyncio.run(talk())

    MessageQueue.instance("any").disconnect()
    said = await asyncio.to_thread(in_fork, run) if thread else in_fork(run)
    assert said == "[{'n': 1}]"
