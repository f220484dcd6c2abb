"""Random steps on three channels, to which clients listen together and alone.

Each client gets every event of each channel in order, none of them twice after one cursor, or a
gap. Its cursor says exactly which events of each channel it has.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from message_queue.fakes import FakePeer, Taker, turn
from message_queue.test_state_machine import Loop

from tatsumaki_py import MessageQueue
from tatsumaki_py.message_queue import State

NAMES = ("a", "b", "c")
BACKLOG, BUFFER, RECONNECT = 2, 5, 30.0
clients = st.sampled_from("xyz")
channels = st.sampled_from(NAMES)


class Hearer(FakePeer):
    """One poll of a client. `has` is the number of events that it has of each channel. When the
    poll begins, `has` is between `low` and `high`."""

    def __init__(self, machine, name, kind, low, high):
        super().__init__()
        self.machine, self.name, self.kind = machine, name, kind
        self.low, self.high = low, high
        self.has = None
        self.sure = low
        """The numbers of events that are confirmed."""
        self.busy = None

    @property
    def once(self):
        return self.kind in ("answer", "hold")

    def begins(self, cursor):
        self.has = self.sure = self.machine.counts(cursor)
        for low, has, high in zip(self.low, self.has, self.high, strict=True):
            assert low <= has <= high

    def _peer_at(self, cursor):
        self.machine.guarded(self.begins, cursor)

    def on_new_event(self, *events):
        if not events:
            # Another poll has taken over, or the client was disconnected.
            self.complete()
            return None
        self.machine.guarded(self.check, events)
        self.machine.echo_once()
        if self.kind == "slow":
            self.busy = self.machine.loop.create_future()
            return self.busy
        if self.kind == "stream":
            self.sure = self.has
        elif self.kind == "answer":
            self.sure = self.has
            self.complete()
        else:
            self.busy = self
        return None

    def check(self, events):
        assert self.machine.hearers.get(self.name) is self, "called after its end"
        if self.has is None:
            self.begins(events[0].prev)
        for event in events:
            assert self.machine.counts(event.prev) == self.has
            index, has = NAMES.index(event.channel), list(self.has)
            if event.gap:
                assert self.machine.oldest(event.channel) > has[index]
                has[index] = self.machine.oldest(event.channel)
                assert event["id"] == event.id
            else:
                assert event["n"] == has[index]
                has[index] += 1
            self.has = has
            assert self.machine.counts(event.id) == has


class MergedMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self):
        self.loop = Loop()
        self.queues = [MessageQueue.instance(name) for name in NAMES]
        for queue in self.queues:
            queue.backlog_length, queue.buffer_length = BACKLOG, BUFFER
            queue.recovery_time = 0
            queue.reconnect_time, queue.idle_timeout = RECONNECT, 1e9
        self.merged = MessageQueue.instance(*NAMES)
        self.published = {name: [] for name in NAMES}
        self.start = self.queues[0].cursor()
        for queue in self.queues:
            self.note(queue)
        self.hearers, self.places, self.errors = {}, {}, []
        self.echo = None

    def teardown(self):
        self.run(MessageQueue.reset)
        self.hearers.clear()
        self.run(lambda: None)
        self.loop.close()
        # The channels of the next example are new.
        MessageQueue._registry.instances.clear()
        MessageQueue._registry.merged.clear()

    def run(self, function, turns=6):
        async def step():
            function()
            await turn(turns)

        self.loop.run_until_complete(step())

    def guarded(self, function, *args):
        try:
            function(*args)
        except AssertionError as error:
            # The queue would log the error.
            self.errors.append(error)

    # -- the model

    def counts(self, cursor):
        """The number of events of each channel up to `cursor`."""
        parts = zip(NAMES, cursor.split(","), strict=True)
        return [
            0 if part == self.start else self.published[name].index(part) + 1
            for name, part in parts
        ]

    def cursor(self, counts):
        pairs = zip(NAMES, counts, strict=True)
        return ",".join(self.published[name][n - 1] if n else self.start for name, n in pairs)

    def tops(self):
        return [len(self.published[name]) for name in NAMES]

    def oldest(self, name):
        """The number of events of a channel that are no longer in the log."""
        log = self.queues[NAMES.index(name)]._channel.log
        return len(self.published[name]) - len(log)

    def note(self, queue):
        """Record the ids of published events before listeners are called."""
        ids, accept = self.published[queue.channel], queue._channel.accept

        def noting(events):
            ids.extend(event.id for event in events)
            accept(events)

        queue._channel.accept = noting

    def emit(self, name, size):
        queue, first = self.queues[NAMES.index(name)], len(self.published[name])
        queue.publish(*({"n": first + n} for n in range(size)))

    def echo_once(self):
        echo, self.echo = self.echo, None
        if echo is not None:
            self.emit(*echo)

    def away(self, hearer, known=None):
        """The hearer has left. It has its confirmed events, or exactly `known` of each channel."""
        del self.hearers[hearer.name]
        low = hearer.low if hearer.sure is None else hearer.sure
        high = hearer.high if hearer.has is None else hearer.has
        if known is not None:
            low = high = known
        self.places[hearer.name] = (low, high, self.loop.now + RECONNECT)

    # -- the rules

    @rule(
        name=channels,
        size=st.sampled_from([1, 1, 2, 3, 7]),
        echo=st.none() | st.tuples(channels, st.integers(1, 2)),
    )
    def publish(self, name, size, echo):
        self.echo = echo
        self.run(lambda: self.emit(name, size))
        self.echo = None
        self.answered()

    def answered(self):
        """Remove the long polls whose answer is complete."""
        for hearer in list(self.hearers.values()):
            if hearer.kind == "answer" and hearer.finished:
                self.away(hearer)

    @rule(
        name=clients,
        kind=st.sampled_from(["stream", "slow", "answer", "hold"]),
        place=st.none() | st.tuples(*[st.integers(0, 6)] * 3),
    )
    def poll(self, name, kind, place):
        former = self.hearers.get(name)
        if former is not None:
            self.away(former)
        last_event_id = None
        if place is not None:
            low = high = [max(0, top - n) for top, n in zip(self.tops(), place, strict=True)]
            last_event_id = self.cursor(low)
        elif name in self.places:
            low, high, _ = self.places[name]
        else:
            low = high = [max(0, top - BACKLOG) for top in self.tops()]
        self.places.pop(name, None)
        hearer = self.hearers[name] = Hearer(self, name, kind, low, high)
        options = {"last_event_id": last_event_id}
        method = self.merged.poll
        if hearer.once:
            method, options["timeout"] = self.merged.poll_once, float("inf")
        self.run(lambda: method(name, hearer.on_new_event, **options))
        self.answered()

    @rule(place=st.none() | st.tuples(*[st.integers(0, 6)] * 3))
    def poll_without_a_name(self, place):
        """An anonymous client polls with a timeout of 0, with or without a cursor."""
        back = zip(self.tops(), place or [BACKLOG] * 3, strict=True)
        counts = [max(0, top - n) for top, n in back]
        hearer = self.hearers["nobody"] = Hearer(self, "nobody", "answer", counts, counts)
        last_event_id = None if place is None else self.cursor(counts)
        poll_once = self.merged.poll_once
        self.run(lambda: poll_once(None, hearer.on_new_event, 0, last_event_id=last_event_id))
        assert hearer.finished
        del self.hearers["nobody"]
        assert (hearer.has or counts) == self.tops()

    @rule(name=channels, client=clients)
    def poll_alone(self, name, client):
        """A client begins to listen to one channel, or ends its poll there."""
        queue = self.queues[NAMES.index(name)]
        known = queue.clients.get(client)
        if known is None or known.listener is None:
            self.run(lambda: queue.poll(client, Taker()))
        else:
            self.run(known.listener.cancel)

    @rule(name=clients, unsent=st.integers(0, 4), data=st.data())
    def leave(self, name, unsent, data):
        """A client leaves before some of the written events have been sent."""
        hearer = self.hearers.get(name)
        if hearer is None:
            return
        known = None
        if hearer.kind == "stream" and hearer.has is not None and unsent:
            # Any place in a channel is possible.
            known = [data.draw(st.integers(max(0, n - unsent), n)) for n in hearer.has]
            hearer.unsent = self.cursor(known)
        self.away(hearer, known)
        self.run(hearer.leave)

    @rule(name=clients)
    def complete(self, name):
        """An answer is complete, or the work of a callback is done."""
        hearer = self.hearers.get(name)
        if hearer is None or hearer.busy is None:
            return
        busy, hearer.busy = hearer.busy, None
        hearer.sure = hearer.has
        if hearer.kind == "hold":
            self.away(hearer)
            self.run(hearer.complete)
        else:
            self.run(lambda: busy.set_result(None))

    @rule(name=channels)
    def disconnect(self, name):
        for hearer in list(self.hearers.values()):
            self.away(hearer)
        self.run(self.queues[NAMES.index(name)].disconnect)

    @rule(seconds=st.sampled_from([1.0, 9.0, 31.0, 60.0]))
    def advance(self, seconds):
        self.loop.now += seconds
        for name, (_, _, deadline) in list(self.places.items()):
            if self.loop.now >= deadline:
                del self.places[name]
        self.run(lambda: None, turns=12)

    # -- what is true after each step

    @invariant()
    def nobody_got_what_is_wrong(self):
        if self.errors:
            raise self.errors[0]

    @invariant()
    def everybody_has_everything(self):
        assert {*self.merged.clients} == {*self.hearers} | {*self.places}
        for name, hearer in self.hearers.items():
            client = self.merged.clients[name]
            if hearer.busy is not None:
                assert client.state is State.DELIVERING
            else:
                assert client.state is State.LISTENING
                if hearer.has is not None:
                    assert hearer.has == self.tops()

    @invariant()
    def channels_are_used_while_it_has_clients(self):
        registry, merged = MessageQueue._registry, self.merged._audience.roster
        used = merged.occupied()
        for queue in self.queues:
            channel, own = queue._channel, queue._audience.roster
            assert (self.merged.channel in channel.followers) == used
            assert (channel.name in channel.followers) == own.occupied()
            active = used or bool(own.clients) or bool(len(channel.log))
            assert (queue.channel in registry.active) == active
            assert (queue.channel in registry.deserted) == (active and not used and not own.clients)
            assert len(channel.log) <= BUFFER
            assert queue.subscribers == len(own.subscribed) + self.merged.subscribers
            assert {*own.subscribed} <= {*own.clients}
        here = sum(len(queue.clients) for queue in self.queues)
        assert registry.clients == here + len(NAMES) * len(merged.clients)
        for queue in (*self.queues, self.merged):
            away = all(client.state is State.ABSENT for client in queue.clients.values())
            occupied = queue._audience.roster.occupied()
            assert (queue.channel in registry.vacant) == (occupied and away)

    @invariant()
    def what_is_behind_is_kept(self):
        """Each channel knows a place at or before the places of all clients that are behind."""
        behind = [client.cursor for client in self.merged._audience.roster.behind.values()]
        for queue in self.queues:
            channel = queue._channel
            own = [client.cursor for client in queue._audience.roster.behind.values()]
            parts = [self.merged._audience._source.log.part(one, channel.name) for one in behind]
            for cursor in (*own, *parts):
                if cursor != channel.log.top:
                    assert (
                        channel.log.earlier(cursor, channel.retention._behind)
                        == channel.retention._behind
                    )


MergedMachine.TestCase.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, derandomize=True
)
TestMerged = MergedMachine.TestCase
