"""Random steps on a queue, checked against a simple model that counts events.

Each client gets every event in order, or a gap. After one cursor, an event comes twice only if it
was on its way when the client left. After each step, the rules of ``channel.py`` and ``log.py``
hold.
"""

import asyncio

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from message_queue.fakes import FakePeer, numbers, turn

from tatsumaki_py import MessageQueue
from tatsumaki_py.message_queue import State
from tatsumaki_py.message_queue.retention import GRAIN

BACKLOG, BUFFER, RECONNECT = 3, 6, 30.0
LATE = RECONNECT + GRAIN
UNKNOWN = "1-1"  # a cursor from long ago
clients = st.sampled_from("abc")


class Loop(asyncio.SelectorEventLoop):
    """A loop whose time the test advances. It never waits, as there is always a task to run."""

    now = 0.0

    def time(self):
        return self.now


class Model:
    """The expected state of one client id. Cursors are counts of events."""

    def __init__(self, id):
        self.id = id
        self.known = False
        self.listener = None
        self.forget()

    def forget(self):
        self.known = False
        self.cursor = self.next = 0
        self.deadline = None
        self.lost = False
        """Whether more events than the buffer holds have come after its cursor."""
        self.sure = True
        """Whether its cursor was certainly kept."""

    def confirm(self, count):
        if self.next != self.cursor:
            self.sure = True
        self.cursor = self.next
        self.lost = count - self.cursor > BUFFER


class Listener(FakePeer):
    """One poll of a client, which passes its events on to the machine."""

    def __init__(self, machine, model, kind, timeout):
        super().__init__()
        self.machine, self.model, self.kind = machine, model, kind
        self.expires = machine.loop.now + timeout if self.once else float("inf")
        self.may_be_empty = timeout == 0
        self.busy = None
        """The object that the queue waits for while events are on their way."""
        self.task = self.poll = None

    @property
    def once(self):
        return self.kind in ("answer", "hold", "await", "again")

    def start(self, queue, timeout, last_event_id):
        options = {"last_event_id": last_event_id}
        if self.kind == "await":
            poll = queue.poll_once(self.model.id, timeout=timeout, **options)
            self.task = asyncio.ensure_future(self.wait(poll))
        elif self.kind == "iterate":
            self.task = asyncio.ensure_future(self.iterate(queue.poll(self.model.id, **options)))
        elif self.once:
            queue.poll_once(self.model.id, self.on_new_event, timeout, **options)
        else:
            queue.poll(self.model.id, self.on_new_event, **options)

    async def wait(self, poll):
        self.on_new_event(*await poll)

    async def iterate(self, poll):
        async for events in poll:
            self.on_new_event(*events)

    def cancel(self):
        # A reference to the task would keep its poll alive.
        self.task.cancel()
        self.task = None

    def on_new_event(self, *events):
        try:
            self.machine.check(self, events)
        except AssertionError as error:
            # The queue would log the error: pass it to the machine instead.
            self.machine.errors.append(error)
        self.machine.echo_once()
        if self.kind in ("stream", "iterate"):
            self.model.confirm(self.machine.count)
        elif self.kind == "slow":
            self.busy = self.machine.loop.create_future()
            return self.busy
        elif self.kind == "hold":
            self.busy = self
        elif self.kind == "again" and self.model.listener is self:
            self.model.confirm(self.machine.count)
            self.machine.poll_again(self)
        elif self.model.listener is self:
            self.model.confirm(self.machine.count)
            self.machine.away(self.model)
            if self.kind == "answer":
                self.complete()
        else:
            self.complete()
        return None


class QueueMachine(RuleBasedStateMachine):
    kinds = ("answer", "hold", "await", "again", "stream", "slow", "iterate")

    def __init__(self):
        super().__init__()
        self.loop = Loop()
        self.queue = MessageQueue.instance("machine")
        self.queue.backlog_length, self.queue.buffer_length = BACKLOG, BUFFER
        self.queue.reconnect_time, self.queue.idle_timeout = RECONNECT, 1e9
        self.queue.recovery_time = 0
        self.count = 0
        self.ids = [self.queue.cursor()]
        self.models = {id: Model(id) for id in "abc"}
        self.former = []
        self.errors = []
        self.echo = 0
        self.echoed = False
        self.published_at = self.behind_at = 0.0

    def teardown(self):
        self.run(MessageQueue.reset)
        for model in self.models.values():
            model.listener = None
        self.run(lambda: None)
        self.loop.close()
        del self.queue.backlog_length, self.queue.buffer_length
        del self.queue.reconnect_time, self.queue.idle_timeout, self.queue.recovery_time

    def run(self, function, turns=6):
        """Run `function` in the loop, and then the tasks that it started."""

        async def step():
            function()
            await turn(turns)

        self.loop.run_until_complete(step())

    # -- the model

    def check(self, listener, events):
        """Check that the events of a listener are those that its client must get now."""
        model, got = listener.model, numbers(events)
        if not got:
            assert listener.may_be_empty or self.loop.now >= listener.expires
            return
        assert model.listener is listener, "called after its end"
        missed = self.count - model.next
        if got[0] == "gap":
            assert not (model.sure and not model.lost), "nothing was lost"
            assert missed > BACKLOG or model.cursor < 0
            last = got[-1] if len(got) > 1 else self.count - 1
            assert got[1:] == [*range(last - len(got) + 2, last + 1)]
            assert last == self.count - 1 or self.echoed
            if model.lost and model.sure:
                assert len(got) >= 1 + BUFFER
        else:
            assert missed == len(got) or self.echoed
            assert not model.lost
            assert got == [*range(model.next, model.next + len(got))]
        model.next = got[-1] + 1 if got != ["gap"] else self.count

    def away(self, model):
        model.listener = None
        model.next = model.cursor
        model.deadline = self.loop.now + RECONNECT

    def published(self):
        for model in self.models.values():
            if model.known and self.count - model.cursor > BUFFER:
                model.lost = True

    def events(self, size):
        self.published_at = self.loop.now
        first, self.count = self.count, self.count + size
        self.ids += [None] * size
        return [{"n": n} for n in range(first, self.count)]

    def note_ids(self):
        """Record the ids of the events that are still in the log, as possible cursors."""
        for event in self.queue._channel.log.newest(100):
            self.ids[event.event()["n"] + 1] = event.id

    def echo_once(self):
        """Publish once, in the first callback of a step."""
        size, self.echo = self.echo, 0
        if size:
            self.echoed = True
            self.queue.publish(*self.events(size))

    def poll_again(self, listener):
        """A callback polls again for its client, and so confirms the events of its call."""
        self.former.append(listener)
        listener.model.listener = Listener(self, listener.model, "again", 55)
        listener.model.listener.start(self.queue, 55, None)

    def publish_with(self, method, size, echo=0):
        self.echo, self.echoed = echo, False
        self.run(lambda: method(*self.events(size)))
        self.echo, self.echoed = 0, False
        self.note_ids()
        self.published()

    # -- the rules

    @rule(size=st.sampled_from([1, 1, 2, 3, 4, 8]), echo=st.sampled_from([0, 0, 1, 2]))
    def publish(self, size, echo):
        self.publish_with(self.queue.publish, size, echo)

    @rule()
    def publish_nothing(self):
        for model in self.models.values():
            if model.listener is not None:
                model.listener.may_be_empty = True
        self.run(self.queue.publish)

    @rule(
        id=clients,
        kind=st.sampled_from(kinds),
        timeout=st.sampled_from([0, 10, 55]),
        after=st.none() | st.integers(0, 8) | st.just(UNKNOWN),
    )
    def poll(self, id, kind, timeout, after):
        model = self.models[id]
        if not model.known:
            model.forget()
            model.known = True
            model.cursor = max(0, self.count - BACKLOG)
        last_event_id = None
        if after == UNKNOWN:
            last_event_id, model.cursor, model.sure = UNKNOWN, -1, False
        elif after is not None and self.ids[max(0, self.count - after)] is not None:
            model.cursor = max(0, self.count - after)
            last_event_id = self.ids[model.cursor]
            model.sure = model.lost = False
        if model.listener is not None:
            model.listener.may_be_empty = True
            self.former.append(model.listener)
        model.next = model.cursor
        model.deadline = None
        model.listener = Listener(self, model, kind, timeout)
        self.run(lambda: model.listener.start(self.queue, timeout, last_event_id))

    def with_listener(self, id, test=lambda listener: True):
        listener = self.models[id].listener
        return listener if listener is not None and test(listener) else None

    @rule(id=clients, unsent=st.integers(0, 4))
    def leave(self, id, unsent):
        """The client closes its connection before some of the written events have been sent."""
        listener = self.with_listener(id)
        if listener is None:
            return
        model = listener.model
        if listener.task is not None:
            self.away(model)
            self.run(listener.cancel)
            return
        back = max(0, model.next - unsent)
        if listener.kind == "stream" and unsent and self.ids[back] is not None:
            listener.unsent = self.ids[back]
            model.cursor, model.sure, model.lost = back, False, False
        self.away(model)
        self.run(listener.leave)

    @rule(id=clients)
    def complete(self, id):
        """An answer is complete, or the work of a callback is done."""
        listener = self.with_listener(id, lambda listener: listener.busy)
        if listener is None:
            return
        model, busy = listener.model, listener.busy
        listener.busy = None
        model.confirm(self.count)
        if listener.kind == "hold":
            self.away(model)
            self.run(listener.complete)
        else:
            self.run(lambda: busy.set_result(None))

    @rule(id=clients)
    def fail(self, id):
        """A callback is cancelled: its client does not have the events that were on their way."""
        listener = self.with_listener(id, lambda listener: listener.kind == "slow")
        if listener is None or listener.busy is None:
            return
        self.away(listener.model)
        self.run(listener.busy.cancel)

    @rule(id=clients, size=st.integers(1, 3))
    def cancelled_with_an_event_on_its_way(self, id, size):
        """A coroutine is cancelled in the iteration in which it would have got the event."""
        listener = self.with_listener(id, lambda listener: listener.kind == "await")
        if listener is None:
            return
        self.away(listener.model)
        publish = self.queue.publish
        self.publish_with(lambda *events: (publish(*events), listener.cancel()), size)

    @precondition(lambda self: self.former)
    @rule(gone=st.booleans(), data=st.data())
    def late_end(self, gone, data):
        """A poll that was replaced ends, which affects no client."""
        listener = self.former.pop(data.draw(st.integers(0, len(self.former) - 1)))
        if listener.kind == "slow" and listener.busy is not None:
            self.run(lambda: listener.busy.done() or listener.busy.set_result(None))
        self.run(listener.leave if gone else listener.complete)

    @rule()
    def disconnect(self):
        for model in self.models.values():
            if model.listener is not None:
                model.listener.may_be_empty = True
                self.former.append(model.listener)
                self.away(model)
        self.run(self.queue.disconnect)

    @rule(seconds=st.sampled_from([1.0, 9.0, 29.0, 31.0, 60.0]))
    def advance(self, seconds):
        self.loop.now += seconds
        late = [
            model
            for model in self.models.values()
            if model.deadline is not None and self.loop.now >= model.deadline
        ]
        for model in late:
            model.forget()
        self.run(lambda: None, turns=12)

    # -- what is true after each step

    @invariant()
    def nobody_got_what_is_wrong(self):
        """No listener got wrong events: see `check`."""
        if self.errors:
            raise self.errors[0]

    @invariant()
    def everybody_has_everything(self):
        """Clients that listen have all events; exactly the expected clients are known."""
        assert set(self.queue.clients) == {m.id for m in self.models.values() if m.known}
        for model in self.models.values():
            client = self.queue.clients.get(model.id)
            if model.listener is None:
                assert client is None or client.state is State.ABSENT
            elif model.listener.busy is not None:
                assert client.state is State.DELIVERING
            else:
                assert client.state is State.LISTENING
                assert model.next == self.count

    @invariant()
    def rules_of_the_roster(self):
        """Each client is in the dict of its state, and absent clients are ordered by deadline."""
        roster, by_state = self.queue._audience.roster, {state: [] for state in State}
        for id, client in roster.clients.items():
            assert client.id == id
            by_state[client.state].append(client)
            assert (client.listener is None) == (client.state is State.ABSENT)
        listening = {client.id: client.listener.once for client in by_state[State.LISTENING]}
        assert {*roster.waiting} == {id for id, once in listening.items() if once}
        assert {*roster.streams} == {id for id, once in listening.items() if not once}
        assert {*roster.absent} == {client.id for client in by_state[State.ABSENT]}
        assert not roster.reading
        deadlines = [client.deadline for client in roster.absent.values()]
        assert deadlines == sorted(deadlines)
        assert not by_state[State.GONE]
        assert not by_state[State.LOADING]
        assert {client.id for client in by_state[State.DELIVERING]} <= {*roster.behind}
        assert {*roster.behind} <= {*roster.clients} - {*listening}
        delivery = self.queue._audience._delivery
        assert not delivery._front.telling
        assert delivery._front.calling is None

    @invariant()
    def rules_of_the_registry(self):
        """The channel is active if it has clients or events, and deserted if it has only events."""
        queue, registry = self.queue, self.queue._registry
        assert registry.clients == len(queue.clients)
        away = all(client.state is State.ABSENT for client in queue.clients.values())
        assert (queue.channel in registry.vacant) == (bool(queue.clients) and away)
        assert (queue.channel in registry.holding) == bool(len(queue._channel.log))
        active = bool(queue.clients) or bool(len(queue._channel.log))
        assert (queue.channel in registry.active) == active
        assert (queue.channel in registry.deserted) == (active and not queue.clients)

    @invariant()
    def bounded(self):
        """The log has at most the buffer, and later only the backlog if no client needs more."""
        log = self.queue._channel.log
        assert min(self.count, BACKLOG) <= len(log) <= BUFFER
        assert log.size == sum(event.size for event in log.newest(BUFFER))
        if self.queue._audience.roster.behind:
            self.behind_at = self.loop.now
        old = self.loop.now > self.published_at + 2 * LATE
        if old and self.loop.now > self.behind_at + 2 * GRAIN:
            assert len(log) <= BACKLOG

    @invariant()
    def what_is_behind_is_kept(self):
        """The channel knows a place at or before the places of all clients that are behind."""
        channel = self.queue._channel
        for client in self.queue._audience.roster.behind.values():
            if client.cursor != channel.log.top:
                assert (
                    channel.log.earlier(client.cursor, channel.retention._behind)
                    == channel.retention._behind
                )

    @invariant()
    def a_timer_for_who_is_away(self):
        """If clients are absent, a timer is due by the first of their deadlines."""
        absent = self.queue._audience.roster.absent
        if absent:
            due = self.queue._channel._alarm.when
            assert due is not None
            assert due <= next(iter(absent.values())).deadline


QueueMachine.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, derandomize=True
)
TestQueue = QueueMachine.TestCase
