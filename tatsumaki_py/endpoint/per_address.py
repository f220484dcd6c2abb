"""Limits per client address.

Rules:
1. Each IPv4 address counts separately. All IPv6 addresses of a /64 network count as one, because
   one customer has at least such a network.
2. A client of a Unix socket has no address, unless a proxy sends it in a header that the server
   trusts (``xheaders``). A client without an address is not limited; a warning is logged once.
3. The number of remembered addresses is bounded. An address without recent requests is forgotten.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Hashable
from itertools import islice

from tornado.httputil import HTTPServerRequest

from tatsumaki_py.counters import COUNTERS
from tatsumaki_py.endpoint.members import Leaving, Members
from tatsumaki_py.error import HTTPError

__all__ = ["ADDRESSES", "RATES", "Rates", "address_of", "count_connection"]

MAX_ADDRESSES = 100_000
RETRY_AFTER = 10
"""Seconds after which a client may retry if its address has too many connections."""

_log = logging.getLogger("tatsumaki")

# The address that Tornado gives a client of a Unix socket.
_NONE = "0.0.0.0"

ADDRESSES = Members()
"""The requests to all `SubscribeHandler` classes of this process that have a limit, by address."""


def address_of(request: HTTPServerRequest) -> str | None:
    """The address or network that a request counts for; None if its client has no address."""
    if request.remote_ip == _NONE:
        _warn()
        return None
    try:
        address = ipaddress.ip_address(str(request.remote_ip))
    except ValueError:
        return str(request.remote_ip)
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return f"{ipaddress.IPv6Address(int(address) >> 64 << 64)}/64"
    return str(address)


_told: list[None] = []


def _warn() -> None:
    if not _told:
        _told.append(None)
        _log.warning(
            "limits per address do not apply to clients of a Unix socket, which have no address: "
            "use Server(xheaders=True) behind a proxy that sets X-Real-IP"
        )


def count_connection(handler: Leaving, request: HTTPServerRequest, limit: int) -> None:
    """Count the request of `handler`. Raises 429 if its address already has `limit` other open
    requests.
    """
    address = address_of(request)
    if address is None:
        return
    if ADDRESSES.full(address, limit):
        COUNTERS.refused["rate"] += 1
        raise HTTPError(429, "too many connections from this address", retry_after=RETRY_AFTER)
    ADDRESSES.add(address, handler)


class Rates:
    """Token buckets, one for each key. A bucket holds up to `burst` tokens, and gets `rate` tokens
    per second.

    >>> rates = Rates()
    >>> rates.take("a", now=0.0, rate=2.0)
    >>> rates.wait("a", now=0.0, rate=2.0, burst=1), rates.wait("a", now=0.5, rate=2.0, burst=1)
    (0.5, 0.0)
    """

    def __init__(self) -> None:
        # The time at which the bucket of a key is full again.
        self._full: dict[Hashable, float] = {}
        self._sweep_at = 1000

    def __len__(self) -> int:
        """The number of keys that are remembered."""
        return len(self._full)

    def wait(self, key: Hashable, now: float, rate: float, burst: float) -> float:
        """The seconds until there is a token for `key`; 0 if there is one."""
        full = self._full.get(key, now)
        return max(full - now - (burst - 1) / rate, 0.0)

    def take(self, key: Hashable, now: float, rate: float, tokens: float = 1.0) -> None:
        """Take tokens. If there are too few, `key` will wait longer for the next one."""
        full = self._full.pop(key, now)
        self._full[key] = max(full, now) + tokens / rate
        if len(self._full) >= self._sweep_at:
            self._sweep(now)

    def _sweep(self, now: float) -> None:
        self._full = {key: full for key, full in self._full.items() if full > now}
        if len(self._full) >= MAX_ADDRESSES:
            # Forget a tenth of the keys: those that were used longest ago. If fewer were forgotten,
            # the next few keys would start another sweep over all keys.
            for key in list(islice(self._full, MAX_ADDRESSES // 10)):
                del self._full[key]
        self._sweep_at = min(max(2 * len(self._full), 1000), MAX_ADDRESSES)


RATES = Rates()
"""The rates of all `PublishHandler` classes of this process, by class and address."""
