"""Subscribers of numbered events that reconnect whenever their connection ends."""

from tatsumaki_py.testing import Subscriber
from tatsumaki_py.testing.readers import READERS


class Follower(Subscriber):
    """One client. Its events have a number `n`.

    Args:
        port: the port of the server, or a function that returns the port for each connection.
        transports: names of transports, which the client uses in turn.
        path: the path of the URL.
        cursor: where the client begins; None for a client that connects for the first time.
        remembers: whether the client sends its cursor when it reconnects.
        params: parameters of the URL.
    """

    def __init__(
        self,
        port,
        transports=tuple(READERS),
        path="/events/room",
        cursor=None,
        remembers=True,
        **params,
    ):
        port = port if callable(port) else lambda port=port: port
        super().__init__(
            lambda: f"http://127.0.0.1:{port()}{path}",
            transports,
            cursor=cursor,
            remembers=remembers,
            params=params,
        )

    @property
    def seen(self):
        """The `n` of each event that came, and "gap" for each gap."""
        return ["gap" if message.gap else message.data["n"] for message in self.messages]

    @property
    def name(self):
        """A name of the client, for the message of a failing test."""
        return repr(self)
