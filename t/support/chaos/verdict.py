"""Checks that a client got the events that it must get.

The rules for what a client gets, in the order of the ids of all accepted events:
1. On one connection, each event is the successor of the previous one, unless there is a gap between
   them.
2. A client that sends its cursor when it reconnects gets the next event first, or a gap.
3. A client that has only a name and never closes a connection itself gets, when it reconnects, the
   next event, an event that it already has, or a gap.
4. Any other client can begin at any event.
5. After an event that Redis lost, a gap precedes the next event that was kept. An event of a
   repeated request may come again, with another id. The place of a client that has only a name may
   also be lost.
"""

from tatsumaki_py.message_queue.ids import position

GAP, LOST = "gap", "lost"


class Verdict:
    """The events that were accepted on one channel.

    Args:
        accepted: the ids of events, by the identities (publisher, number) of the events.
        kept: the identities of the events that are in the log at the end, in order.
        may_lose: whether Redis may have lost accepted events.
    """

    def __init__(self, accepted, kept, may_lose=False):
        assert len(set(kept)) == len(kept), "an event was published twice"
        unknown = set(kept) - set(accepted)
        assert not unknown, f"no publisher has published {sorted(unknown)[:5]}"
        self.lost = set(accepted) - set(kept)
        assert may_lose or not self.lost, f"accepted events are lost: {sorted(self.lost)[:5]}"
        by_id = sorted(accepted, key=lambda one: position(accepted[one]))
        assert [one for one in by_id if one not in self.lost] == kept, "the ids are not in order"
        self.may_lose, self.accepted = may_lose, accepted
        self.places = {one: place for place, one in enumerate(kept)}

    def check(self, name, connections, *, cursor, named, to_end):
        """Raises `AssertionError` if a client did not get what it should have.

        Args:
            name: a name of the client, for the message.
            connections: the items of each connection: pairs of the identity of an event and its id
                (None if the client did not get the id), or of "gap" and None.
            cursor: whether the client sends its cursor when it reconnects.
            named: whether rule 3 applies to the client.
            to_end: whether the client must have the last event.
        """
        last, told = None, True
        for number, items in enumerate(connections):
            first = True
            for item in items:
                where = f"{name}, connection {number}, after place {last}"
                event, id = item
                if event == GAP:
                    told = True
                    continue
                place = self.places.get(event)
                free = told or (first and not cursor and not named)
                if self.may_lose and place is not None:
                    # A long poll may get a lost event without its id.
                    again = first and named and not cursor
                    other = id is None and not (free or again) and last not in (LOST, place - 1)
                    if other or id not in (None, self.accepted[event]):
                        place = None
                    free = free or (first and not cursor and last == LOST)
                if place is None:
                    assert self.may_lose, f"{where}: {event} was never accepted"
                    last, told, first = LOST, False, False
                    continue
                if last == LOST:
                    assert free, f"{where}: {event} follows lost events without a gap"
                elif not free and first and named and not cursor:
                    assert place <= last + 1, f"{where}: {place} {event} skips events"
                elif not free:
                    assert place == last + 1, f"{where}: {place} {event}"
                last, told, first = place, False, False
        if to_end and self.places:
            assert last == len(self.places) - 1, f"{name}: ends at {last} of {len(self.places)}"
