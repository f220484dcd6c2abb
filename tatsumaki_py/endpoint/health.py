"""HealthHandler: whether a load balancer should send requests here.

>>> from tatsumaki_py import Application, HealthHandler
>>> app = Application([("/health", HealthHandler)])
"""

from __future__ import annotations

from typing import ClassVar

from tatsumaki_py.endpoint.body_limit import UNREAD_SIZE
from tatsumaki_py.handler import Handler
from tatsumaki_py.health import Health
from tatsumaki_py.push.lag import LoopLag

__all__ = ["HealthHandler"]


class HealthHandler(Handler):
    """Answers ``ok``, or 503 with the reason as text: the server is about to stop (``draining``),
    its event loop lags by more than `max_loop_lag`, or one of ``Health.current().checks`` returned
    a reason.
    """

    max_loop_lag: ClassVar[float | None] = 1.0
    """The longest acceptable delay of the event loop within the last two seconds, in seconds; None
    for no limit. The first request starts the measurement.
    """
    retry_after: ClassVar[int] = 5
    """Seconds in the ``Retry-After`` of a 503."""
    max_body_size: ClassVar[int | None] = UNREAD_SIZE

    def get(self) -> None:
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.set_header("Cache-Control", "no-store")
        reason = Health.current().reason() or self._late()
        if reason is not None:
            self.set_status(503)
            self.set_header("Retry-After", str(self.retry_after))
        self.finish(f"{reason or 'ok'}\n")

    def _late(self) -> str | None:
        lag, limit = LoopLag.current().recent, self.max_loop_lag
        return None if limit is None or lag <= limit else f"the event loop is {lag:.1f} s late"

    def compute_etag(self) -> str | None:
        """None, because the answer must not be cached."""
        return None
