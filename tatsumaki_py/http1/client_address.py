"""The address of a client, as handlers see it (`HTTPServerRequest.remote_ip`)."""

from __future__ import annotations

import re
import socket
from collections.abc import Collection
from typing import Any

from tornado.httputil import HTTPHeaders
from tornado.netutil import is_valid_ip

__all__ = ["ClientAddress"]

_INTERNET = (socket.AF_INET, socket.AF_INET6)
# An IPv6 address in brackets, or an IPv4 address, each with an optional port (RFC 7239 section 6).
_WITH_PORT = re.compile(r"\[([^\]]*)\](?::\d+)?|([^:]*):\d+")


class ClientAddress:
    """The address and the protocol of a client. `HTTPServerRequest` reads `remote_ip` and
    `protocol`, and Tornado's server calls the methods, which have Tornado's names, if it trusts the
    headers of proxies (``xheaders``).
    """

    __slots__ = (
        "_own_ip",
        "_own_protocol",
        "address",
        "address_family",
        "protocol",
        "remote_ip",
        "trusted_downstream",
    )

    def __init__(
        self, family: int, address: Any, protocol: str, trusted_downstream: Collection[str]
    ) -> None:
        self.address = address
        self.address_family = family
        # Tornado's value for a Unix socket, which has no address.
        self.remote_ip = address[0] if family in _INTERNET and address else "0.0.0.0"
        self.protocol = protocol
        self.trusted_downstream = trusted_downstream
        self._own_ip, self._own_protocol = self.remote_ip, protocol

    def __str__(self) -> str:
        """The text for the log."""
        return self.remote_ip if self.address_family in _INTERNET else str(self.address)

    def _apply_xheaders(self, headers: HTTPHeaders) -> None:
        """Take the client's address and protocol from the headers of a proxy, for one request."""
        forwarded = headers.get("X-Forwarded-For", self.remote_ip)
        for address in map(_bare, reversed(forwarded.split(","))):
            # Trusted proxies are at the end.
            if address not in self.trusted_downstream:
                break
        address = _bare(headers.get("X-Real-Ip", address))
        if is_valid_ip(address):
            self.remote_ip = address
        named = headers.get("X-Scheme", headers.get("X-Forwarded-Proto", self.protocol))
        protocol = named.rpartition(",")[2].strip()
        if protocol in ("http", "https"):
            self.protocol = protocol

    def _unapply_xheaders(self) -> None:
        """Restore the connection's own values, because the next request may come from another
        client.
        """
        self.remote_ip, self.protocol = self._own_ip, self._own_protocol


def _bare(address: str) -> str:
    """An address without brackets or port."""
    address = address.strip()
    match = _WITH_PORT.fullmatch(address)
    return address if match is None else match[1] or match[2] or ""
