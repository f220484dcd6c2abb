"""With an engine outside the process, a client gets each event once and in order, or a gap.

Two processes publish to one channel, and named and anonymous clients connect to one of them. A
client with a cursor gets each event that follows it once, or a gap if events are lost. No client
waits forever. In half of the runs the store keeps all events, and no client with a cursor gets a
gap.
"""

import asyncio

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from message_queue.fakes import FakePeer, turn
from message_queue.test_state_machine import Loop
from support.delayed import Delayed, Store

from tatsumaki_py import MessageQueue
from tatsumaki_py.message_queue import State

SETTLED = 120
"""Iterations of the loop after which everything that was on its way has arrived."""
names = st.sampled_from(["ann", "bob", None])
kinds = st.sampled_from(["once", "stream", "task"])


class Listener(FakePeer):
    """One poll that records the numbers of its events."""

    def __init__(self, machine, kind, cursor):
        super().__init__()
        self.machine, self.kind = machine, kind
        self.got, self.began, self.at = [], cursor, None
        self.over = False
        self.task = None

    def start(self, queue, name, timeout):
        options = {} if self.began is None else {"last_event_id": self.machine.ids[self.began]}
        if self.kind == "once":
            queue.poll_once(name, self.answered, timeout, **options)
        elif self.kind == "stream":
            queue.poll(name, self.take, **options)
        else:
            self.task = asyncio.ensure_future(
                self.wait(queue.poll_once(name, None, timeout, **options))
            )

    async def wait(self, poll):
        self.answered(*await poll)

    def answered(self, *events):
        self.take(*events)
        self.over = True
        if self.kind == "once":
            self.complete()

    def take(self, *events):
        self.got += ["gap" if event.gap else event["n"] for event in events]

    def go(self):
        self.over = True
        if self.task is not None:
            self.task.cancel()
        else:
            self.leave()


class ElsewhereMachine(RuleBasedStateMachine):
    @initialize(seed=st.integers(0, 1000), keeps=st.booleans(), backlog=st.sampled_from([0, 2, 30]))
    def begin(self, seed, keeps, backlog):
        self.loop = Loop()
        self.keeps = keeps
        self.store = Store()
        self.here, self.there = Delayed(self.store, seed=seed), Delayed(self.store, seed=seed + 1)
        MessageQueue.configure(self.here)
        self.queue = MessageQueue.instance("machine")
        self.queue.backlog_length, self.queue.buffer_length = backlog, 1000 if keeps else 5
        self.queue.reconnect_time, self.queue.recovery_time = 30, 1e9 if keeps else 0
        self.other = Other(self.queue._channel.settings)
        self.count, self.ids, self.listeners, self.pending = 0, [], [], []
        self.run(self.first)

    def first(self):
        self.ids.append(self.store.top("machine"))

    def teardown(self):
        if not hasattr(self, "loop"):
            return

        async def end():
            for listener in self.listeners:
                listener.go()
            MessageQueue.reset()
            await turn(20)
            await self.here.close()
            await self.there.close()

        self.loop.run_until_complete(end())
        self.loop.close()
        for name in ("backlog_length", "buffer_length", "reconnect_time", "recovery_time"):
            delattr(self.queue, name)
        MessageQueue._registry.instances.clear()

    def run(self, function, turns=SETTLED):
        async def step():
            function()
            await turn(turns)

        self.loop.run_until_complete(step())

    # -- the rules

    @rule(size=st.integers(1, 4), away=st.booleans(), turns=st.sampled_from([0, 1, 5, SETTLED]))
    def publish(self, size, away, turns):
        """Publish in one of the processes, perhaps without waiting until it is accepted."""
        bodies = [b'{"n":%d}' % n for n in range(self.count, self.count + size)]
        self.count += size
        if self.pending and self.pending[-1][0] is not away:
            # Otherwise the store decides on the order, and the numbers do not show it.
            self.run(lambda: None)

        def send():
            engine, feed = (self.there, self.other) if away else (self.here, self.queue._channel)
            self.pending.append((away, engine.publish(feed, bodies)))

        self.run(send, turns)
        self.note()

    def note(self):
        while self.pending and self.pending[0][1].done():
            self.ids += self.pending.pop(0)[1].result()

    @rule(name=names, kind=kinds, timeout=st.sampled_from([0, 10, 55]), data=st.data())
    def poll(self, name, kind, timeout, data):
        cursor = data.draw(st.none() | st.integers(0, len(self.ids) - 1))
        listener = Listener(self, kind, cursor)
        self.listeners.append(listener)
        turns = data.draw(st.sampled_from([0, 1, 5, SETTLED]))
        self.run(lambda: listener.start(self.queue, name, timeout), turns)

    @precondition(lambda self: self.listeners)
    @rule(data=st.data())
    def leave(self, data):
        listener = data.draw(st.sampled_from(self.listeners))
        self.run(listener.go, 3)

    @rule()
    def disconnect(self):
        self.run(self.queue.disconnect, 3)

    @rule(seconds=st.sampled_from([1, 11, 31, 61, 95]))
    def advance(self, seconds):
        self.loop.now += seconds
        self.run(lambda: None)

    @rule()
    def lose_a_message(self):
        if "machine" in self.here.feeds:
            self.here.lose.add("machine")

    @rule()
    def unload(self):
        feed = self.here.feeds.get("machine")
        if feed is not None and "machine" not in self.here.loading:
            self.run(lambda: self.here.drop(feed), 3)

    @rule()
    def settle(self):
        """Let all messages arrive. Then each client that listens has all events, or got a gap."""
        self.here.lose.clear()
        # This event shows the receivers that a message was lost.
        self.publish(1, False, SETTLED)
        self.run(lambda: None)
        assert not self.pending
        assert len(self.ids) == self.count + 1
        for client in self.queue.clients.values():
            assert client.state in (State.LISTENING, State.ABSENT), client.state
            if client.state is State.LISTENING:
                assert client.cursor == self.ids[-1]
        for listener in self.listeners:
            streams = listener.kind == "stream" and not (listener.gone or listener.finished)
            if streams and listener.got:
                # The last item may be a gap. In that case the log is empty.
                assert listener.got[-1] in (self.count - 1, "gap")

    # -- what is true after each step

    @invariant()
    def once_and_in_order(self):
        for listener in getattr(self, "listeners", ()):
            got, before = listener.got, listener.began
            for n in got:
                if n == "gap":
                    assert not self.keeps or listener.began is None
                    before = None
                else:
                    assert before is None or n == before, (got, listener.began)
                    before = n + 1
            told = [n for n in got if n != "gap"]
            assert told == sorted(set(told)), got

    @invariant()
    def nothing_leaks(self):
        if hasattr(self, "queue"):
            registry, log = MessageQueue._registry, self.queue._channel.log
            assert registry.size == log.size
            assert ("machine" in registry.holding) == bool(log)
            assert registry.clients == len(self.queue.clients)


class Other:
    """The channel in the other process, which only publishes events."""

    name, beside = "machine", 0

    def __init__(self, settings):
        self.settings = settings


ElsewhereMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, derandomize=True
)
TestElsewhere = ElsewhereMachine.TestCase
