"""The options of the engine: where Redis is, and how the engine uses it. They come from a URL.

Rules:
1. This module does not import redis-py.
2. No text contains a password: neither an error message nor the repr of the options.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from tatsumaki_py.message_queue.engine.option import option, read_options

__all__ = ["CLUSTER", "SCHEMES", "SENTINEL", "SERVER", "RedisOptions", "parse"]

SERVER, SENTINEL, CLUSTER = "server", "sentinel", "cluster"
SCHEMES = {
    "redis": (SERVER, False),
    "rediss": (SERVER, True),
    "redis+unix": (SERVER, False),
    "unix": (SERVER, False),
    "redis+sentinel": (SENTINEL, False),
    "rediss+sentinel": (SENTINEL, True),
    "redis+cluster": (CLUSTER, False),
    "rediss+cluster": (CLUSTER, True),
}
"""The kind of service for each scheme, and whether it uses TLS."""

PORTS = {SERVER: 6379, SENTINEL: 26379, CLUSTER: 6379}


@dataclass(frozen=True, kw_only=True)
class RedisOptions:
    """Where Redis is, and how the engine uses it."""

    kind: str = SERVER
    """One server, the master that Sentinel names, or a cluster."""
    tls: bool = False
    """Whether all connections use TLS."""
    hosts: tuple[tuple[str, int], ...] = (("localhost", 6379),)
    """Names or addresses and ports of the server, of the sentinels, or of some nodes."""
    path: str = ""
    """The path of a Unix socket, instead of `hosts`."""
    service: str = ""
    """The sentinels' name for the master."""

    username: str | None = option(None)
    """The ACL user. Without one, the password is that of the user `default`."""
    password: str | None = option(None, secret=True)
    """The password; as a keyword, not percent-encoded."""
    db: int = option(0, low=0)
    """The number of the database. Redis Cluster has only 0."""
    sentinel_username: str | None = option(None)
    """The ACL user of the sentinels."""
    sentinel_password: str | None = option(None, secret=True)
    """The password of the sentinels, not of the servers."""
    ssl_ca_certs: str | None = option(None)
    """With TLS: the path of the certificates (PEM) of further authorities to trust, in addition to
    those of the system.
    """
    ssl_certfile: str | None = option(None)
    """With TLS: the path of the client's certificate (PEM), if Redis requires one."""
    ssl_keyfile: str | None = option(None)
    """With TLS: the path of the key of `ssl_certfile`, unless that file contains the key."""
    ssl_cert_reqs: str = option("required", choices=("required", "none"))
    """With TLS: `none` trusts any certificate. An attacker on the network can then read and change
    everything.
    """
    ssl_check_hostname: bool = option(True)
    """With TLS: whether the certificate must match the name or address of the server."""

    prefix: str = option("tats")
    """The first part of the names of all keys and pub/sub channels. Programs with different
    prefixes can use one Redis without sharing channels.
    """
    connect_timeout: float = option(5.0, "seconds", low=0.05, high=60)
    """How long connecting may take, including the login."""
    command_timeout: float = option(5.0, "seconds", low=0.05, high=60)
    """How long Redis may take to answer a command before the connection is closed."""
    publish_timeout: float = option(5.0, "seconds", low=0.05, high=300)
    """The total time for which a publish is retried before it fails with a 503."""
    linger: float = option(60.0, "seconds", low=0, high=86400)
    """How long this process stays subscribed to a channel after its last client has left."""
    probe_interval: float = option(30.0, "seconds", low=0.05, high=3600)
    """How often the process sends itself a message through pub/sub. If the message does not come
    back before the next one is sent, the process reconnects.
    """
    check_interval: float = option(40.0, "seconds", low=0.05, high=3600)
    """How often the process compares the newest event of each channel with Redis."""
    backoff: float = option(0.1, "seconds", low=0.001, high=60)
    """The pause before the second attempt to connect. Each further pause is 1.5 times as long as
    the one before.
    """
    max_backoff: float = option(10.0, "seconds", low=0.001, high=600)
    """The longest pause between two attempts to connect."""
    top_time: float = option(30 * 86400.0, "seconds", low=60)
    """How long Redis remembers a channel's newest id after the last event. A client that comes back
    later gets a gap, even if it missed nothing.
    """

    @property
    def place(self) -> str:
        """Where Redis is, for logs."""
        if self.path:
            return self.path
        where = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
                         for host, port in self.hosts)  # fmt: skip
        return f"{self.service} at {where}" if self.service else where


def parse(url: str, keywords: Mapping[str, Any]) -> RedisOptions:
    """The options from `url` and `keywords`. Raises a `ValueError` that says what is wrong, without
    a password.

    >>> options = parse("redis+sentinel://:secret@one,two:5000/chat/2?linger=5", {})
    >>> options.hosts, options.service, options.db, options.linger
    ((('one', 26379), ('two', 5000)), 'chat', 2, 5.0)
    """
    scheme, _, _ = url.partition(":")
    kind, tls = SCHEMES[scheme]
    form = _form(scheme)
    if re.search(r"[\s\x00-\x1f\x7f]", url):
        raise ValueError(f"the URL of Redis contains white space: write it as %20: {form}")
    if not url.startswith(f"{scheme}://"):
        raise ValueError(f"the URL of Redis must have the form {form}")
    try:
        parts = urlsplit(url)
    except ValueError:
        # Python's error may quote the password.
        raise ValueError(f"the URL of Redis must have the form {form}") from None
    if parts.fragment or url.endswith("#"):
        raise ValueError(f'the URL of Redis contains a "#": write it as %23: {form}')
    user, at, places = parts.netloc.rpartition("@")
    found: dict[str, Any] = {"kind": kind, "tls": tls}
    if at:
        found |= _login(user)
    if scheme in ("unix", "redis+unix"):
        if places or not parts.path.strip("/"):
            raise ValueError(f"the URL of Redis must have the form {form}")
        found |= {"hosts": (), "path": unquote(parts.path)}
    else:
        found["hosts"] = tuple(_host(place, PORTS[kind], form) for place in places.split(","))
        found |= _path(parts.path, kind, form)
    for name, value in read_options(RedisOptions, parts.query, keywords).items():
        if name in found:
            raise ValueError(f"the option {name} is given twice: it is also in the URL")
        found[name] = value
    options = RedisOptions(**found)
    _check(options, len(places.split(",")), form)
    return options


def _form(scheme: str) -> str:
    """The form of a URL of that scheme."""
    kind, _ = SCHEMES[scheme]
    if scheme in ("unix", "redis+unix"):
        return f"{scheme}://[user:password@]/path/of/the.sock[?option=value]"
    hosts, path = {
        SERVER: ("host[:port]", "[/db]"),
        SENTINEL: ("host[:port][,host2[:port]]", "/service[/db]"),
        CLUSTER: ("host[:port][,host2[:port]]", ""),
    }[kind]
    return f"{scheme}://[user:password@]{hosts}{path}[?option=value]"


def _login(user: str) -> dict[str, Any]:
    name, colon, password = user.partition(":")
    found: dict[str, Any] = {}
    if name:
        found["username"] = unquote(name)
    if colon:
        found["password"] = unquote(password)
    return found


def _host(place: str, default: int, form: str) -> tuple[str, int]:
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]@]*))(?::(\d{1,5}))?", place)
    if match is None or not 0 < int(match[3] or default) < 65536:
        raise ValueError(f"the host or the port in the URL of Redis is invalid: {form}")
    return match[1] or unquote(match[2]) or "localhost", int(match[3] or default)


def _path(path: str, kind: str, form: str) -> dict[str, Any]:
    """The service and the database from the path."""
    steps = [unquote(step) for step in path.removeprefix("/").split("/")] if path else []
    found: dict[str, Any] = {}
    if kind == SENTINEL:
        found["service"] = steps.pop(0) if steps else ""
    if steps and steps[-1] == "":
        steps.pop()
    if steps and kind == CLUSTER and steps != ["0"]:
        raise ValueError("Redis Cluster has only the database 0")
    if len(steps) > 1 or not all(re.fullmatch(r"[0-9]{1,9}", step) for step in steps):
        raise ValueError(f"the path in the URL of Redis is invalid: {form}")
    if steps and kind != CLUSTER:
        found["db"] = int(steps[0])
    return found


def _check(options: RedisOptions, places: int, form: str) -> None:
    if options.kind == SERVER and places > 1:
        raise ValueError(
            f"{form} takes one host: for several, use redis+sentinel:// or redis+cluster://"
        )
    if options.kind == SENTINEL and not options.service:
        raise ValueError(f"the name of the service is missing from the URL of Redis: {form}")
    if options.kind == CLUSTER and options.db:
        raise ValueError("Redis Cluster has only the database 0")
    if options.kind != SENTINEL and (options.sentinel_username or options.sentinel_password):
        raise ValueError("sentinel_username and sentinel_password need a redis+sentinel:// URL")
    if not options.prefix or re.search(r"[{}\s\x00-\x1f\x7f*?\[\]]", options.prefix):
        raise ValueError("the option prefix must not be empty or contain a space or {}[]*?")
    if options.max_backoff < options.backoff:
        raise ValueError("the option max_backoff must not be less than the option backoff")
