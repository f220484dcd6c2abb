"""Whether one client got what it was promised.

Rules for what a client gets, where the order is that of the ids of all accepted events:
1. On one connection each event is the next one after that before it, unless a gap is told between
   them.
2. A client that sends its cursor gets the next event first when it comes back, or a gap.
3. A client with only a name, which never closes a connection itself, gets the next event, or one
   that it has already, or a gap.
4. Any other client begins anywhere.
5. After an event that was lost by Redis, the next event that was kept comes after a gap. An event
   of a request that was repeated may then come again, with another id. The place of a client with
   only a name may be lost, too.
"""

from tatsumaki_py.message_queue.ids import position

GAP, LOST = "gap", "lost"


class Verdict:
    """What was accepted on one channel.

    Args:
        accepted: the ids of events by what identifies them.
        kept: what identifies the events that are in the log at the end, in order.
        may_lose: whether Redis was made to lose what it had accepted.
    """

    def __init__(self, accepted, kept, may_lose=False):
        assert len(set(kept)) == len(kept), "an event was published twice"
        unknown = set(kept) - set(accepted)
        assert not unknown, f"no publisher knows of {sorted(unknown)[:5]}"
        self.lost = set(accepted) - set(kept)
        assert may_lose or not self.lost, f"accepted and lost: {sorted(self.lost)[:5]}"
        by_id = sorted(accepted, key=lambda one: position(accepted[one]))
        assert [one for one in by_id if one not in self.lost] == kept, "the ids are not in order"
        self.may_lose, self.accepted = may_lose, accepted
        self.places = {one: place for place, one in enumerate(kept)}

    def check(self, name, connections, *, cursor, named, to_end):
        """Raises `AssertionError` if a client did not get what it should have.

        Args:
            name: which client, for the message.
            connections: what came on each: what identifies an event, and its id if the client
                was told it; or "gap" and None.
            cursor: whether the client sends its cursor when it comes back.
            named: whether it is one of rule 3.
            to_end: whether it must have the last event.
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
                    # Of what was lost, a long poll is not told the id.
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
                    assert free, f"{where}: {event} after events that were lost, without a gap"
                elif not free and first and named and not cursor:
                    assert place <= last + 1, f"{where}: {place} {event} leaves some out"
                elif not free:
                    assert place == last + 1, f"{where}: {place} {event}"
                last, told, first = place, False, False
        if to_end and self.places:
            assert last == len(self.places) - 1, f"{name}: ends at {last} of {len(self.places)}"
