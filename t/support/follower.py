"""Subscribers of numbered events that reconnect whenever their connection ends."""

from tatsumaki_py.testing import Subscriber
from tatsumaki_py.testing.readers import READERS


class Follower(Subscriber):
    """One client. Its events have a number `n`.

    Args:
        port: where it connects to; or a function that gives a port, for each connection.
        transports: names of transports, which it takes in turn.
        path: of the URL.
        cursor: where it begins; None is a client that comes for the first time.
        remembers: whether it sends its cursor when it comes back.
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
        """Which client this is, for the message of a test that fails."""
        return repr(self)
