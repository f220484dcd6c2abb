"""TicketedHandler: a `SubscribeHandler` for clients that cannot send headers or cookies.

>>> from tatsumaki_py import Application, Handler, TicketedHandler
>>> class Tickets(Handler):
...     def post(self):
...         self.write(self.create_ticket(["news"], 60))
>>> rules = [("/tickets", Tickets), (r"/events/([\\w.-]+)", TicketedHandler)]
>>> app = Application(rules, cookie_secret="a long random string")
"""

from __future__ import annotations

import time
from collections.abc import Awaitable

from tatsumaki_py.endpoint.groups import REVOKED
from tatsumaki_py.endpoint.recheck import RECHECKS
from tatsumaki_py.endpoint.subscribe import SubscribeHandler
from tatsumaki_py.error import HTTPError
from tatsumaki_py.ticket import Ticket, read

__all__ = ["TicketedHandler"]


class TicketedHandler(SubscribeHandler):
    """A `SubscribeHandler` that requires a ticket from `Handler.create_ticket`, in the parameter
    ``ticket`` of the query: ``new EventSource("/events/news?ticket=" + ticket)``.

    A client without a ticket, or with a ticket that is forged, expired or for other channels, gets
    a 403 with the reason. An open connection may outlive its ticket: see `max_stream_time`.
    `disconnect` revokes all earlier tickets of the group, in all processes that share the engine.
    """

    def check_ticket(self, channel: str) -> Ticket:
        """Return the ticket if it was valid for `channel` when the request arrived; otherwise raise
        `Error.HTTP` 403. Call this if you override `can_subscribe`. A recheck (`recheck_time`)
        ignores the age of the ticket.
        """
        text = self.request.query_parameters.get("ticket")
        if not text:
            raise HTTPError(403, "missing parameter: ticket")
        ticket = read(self, text)
        if ticket is None:
            raise HTTPError(403, "the ticket is not valid")
        # `request_time` is monotonic, so it does not matter if the clock was set in the meantime.
        old = ticket.expires < time.time() - self.request.request_time()
        if old and not RECHECKS.get():
            raise HTTPError(403, "the ticket has expired")
        if ticket.group is not None and ticket.made <= REVOKED.since(type(self), ticket.group):
            raise HTTPError(403, "the ticket was revoked")
        if channel not in ticket.channels:
            raise HTTPError(403, "the ticket is for other channels")
        return ticket

    def can_subscribe(self, channel: str) -> bool | Awaitable[bool]:
        """Whether the ticket is valid for `channel`; see `SubscribeHandler.can_subscribe`. If you
        override this, call `check_ticket`.
        """
        self.check_ticket(channel)
        return True

    def group(self) -> str | bytes | int | None:
        """The group of the ticket."""
        ticket = read(self, self.request.query_parameters.get("ticket") or "")
        return None if ticket is None else ticket.group
