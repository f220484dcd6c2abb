"""Origins of URLs: a host and its port in the spelling that browsers send."""

from __future__ import annotations

__all__ = ["DEFAULT_PORTS", "host_and_port"]

DEFAULT_PORTS = {"http": 80, "https": 443}


def host_and_port(scheme: str, netloc: str) -> str:
    """`netloc`, which must have no user, in lower case and without the default port of `scheme`.

    >>> host_and_port("https", "Example.com:443")
    'example.com'
    """
    return netloc.lower().removesuffix(f":{DEFAULT_PORTS.get(scheme, '')}")
