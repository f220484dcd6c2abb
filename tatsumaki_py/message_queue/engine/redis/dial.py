"""Opens connections to a server, logs in, and checks that the server is usable.

Rules:
1. A returned connection has been checked: its server is new enough and of the kind that the URL
   says, and it accepts writes, unless it is a node of a cluster. For any other server, a
   `ConnectionError` says what to fix.
2. redis-py must not repeat commands. Only the engine knows which commands may be repeated.
3. No message contains the URL's password. redis-py keeps it in the arguments of connections, which
   are never shown.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from redis import exceptions
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tatsumaki_py.message_queue.engine.redis.options import CLUSTER, SERVER, RedisOptions

__all__ = ["AnyConnection", "Dial"]

_log = logging.getLogger("tatsumaki")

AnyConnection = Connection | UnixDomainSocketConnection

NAME = "tatsumaki"
"""The name of the connections in `CLIENT LIST`."""
OLDEST = {SERVER: (6, 2), CLUSTER: (7, 0)}
SENTINEL_TIMEOUT = 1.0
"""Seconds after which the next sentinel is asked."""
MODES = {b"cluster": "redis+cluster://", b"sentinel": "redis+sentinel://"}


class Dial:
    """Opens connections."""

    def __init__(self, options: RedisOptions) -> None:
        self._options = options
        self._checked = False

    async def open(self, host: str = "", port: int = 0) -> AnyConnection:
        """A new connection, to the Unix socket if the options name one. Raises `RedisError` on
        failure. The code that reads from a connection sets the time limit for answers.
        """
        options = self._options
        login = (options.username, options.password)
        where = options.path or f"{host}:{port}"
        if options.tls:
            where += " (over TLS)"
        connection = self._make(host, port, options.db, login)
        async with _in_time(connection, where, options.connect_timeout, any(login)):
            await connection.connect()  # type: ignore[no-untyped-call]
            await self._greet(connection, where)
        return connection

    async def open_sentinel(self, host: str, port: int) -> AnyConnection:
        """A new connection to a sentinel. Raises `RedisError` on failure."""
        options = self._options
        login = (options.sentinel_username, options.sentinel_password)
        connection = self._make(host, port, 0, login)
        async with self.asking_sentinel(connection, host, port):
            await connection.connect()  # type: ignore[no-untyped-call]
        return connection

    def asking_sentinel(
        self, connection: AnyConnection, host: str, port: int
    ) -> AbstractAsyncContextManager[None]:
        """A context manager for a block that asks a sentinel. Closes the connection if the block is
        late or fails.
        """
        options = self._options
        timeout = min(options.connect_timeout, SENTINEL_TIMEOUT)
        has_login = bool(options.sentinel_username or options.sentinel_password)
        return _in_time(connection, f"{host}:{port}", timeout, has_login)

    def _make(
        self, host: str, port: int, db: int, login: tuple[str | None, str | None]
    ) -> AnyConnection:
        options = self._options
        arguments: dict[str, Any] = {
            "db": db,
            "username": login[0],
            "password": login[1],
            "socket_timeout": None,
            "socket_connect_timeout": options.connect_timeout,
            "health_check_interval": 0,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            "driver_info": None,
        }
        if options.path:
            return UnixDomainSocketConnection(path=options.path, **arguments)
        if not options.tls:
            return Connection(host=host, port=port, **arguments)
        return SSLConnection(host=host, port=port, **arguments, **_tls(options))

    async def _greet(self, connection: AnyConnection, where: str) -> None:
        await connection.send_command("HELLO", 2, "SETNAME", NAME)
        oldest = OLDEST.get(self._options.kind, OLDEST[SERVER])
        needed = f"Redis {'.'.join(map(str, oldest))} or later is needed"
        try:
            reply = await connection.read_response()
        except exceptions.ResponseError as error:
            if "unknown command" not in str(error):
                raise
            raise exceptions.ConnectionError(f"{where} does not know HELLO: {needed}") from None
        about = dict(zip(reply[::2], reply[1::2], strict=False))
        version = about[b"version"].decode()
        if tuple(int(part) for part in version.split(".")[:2]) < oldest:
            raise exceptions.ConnectionError(f"{where} is Redis {version}: {needed}")
        if misfit := self._misfit(about):
            raise exceptions.ConnectionError(f"{where} {misfit}")
        if not self._checked:
            self._checked = True
            await self._check_memory(connection)

    def _misfit(self, about: dict[bytes, Any]) -> str:
        """The reason why the server is unsuitable; "" if it is suitable."""
        mode, kind = about[b"mode"], self._options.kind
        if kind == CLUSTER:
            return "" if mode == b"cluster" else "is not a node of a cluster"
        if mode in MODES:
            return f"is of another kind: use a URL that begins with {MODES[mode]}"
        return "" if about[b"role"] == b"master" else "is a replica, which accepts no writes"

    async def _check_memory(self, connection: AnyConnection) -> None:
        """Warn if Redis may evict keys that must be kept."""
        await connection.send_command("INFO", "memory")
        try:
            reply = await connection.read_response()
        except exceptions.ResponseError:
            return  # The ACL user may not be allowed to ask.
        lines = (line.partition(":") for line in reply.decode().splitlines())
        about = {name: value for name, _, value in lines}
        policy = about.get("maxmemory_policy", "")
        if about.get("maxmemory", "0") != "0" and policy.startswith("allkeys"):
            _log.warning(
                "Redis may evict any key, including events and idempotency keys that clients still "
                "need (maxmemory-policy %s): set it to noeviction or volatile-ttl",
                policy,
            )


@asynccontextmanager
async def _in_time(
    connection: AnyConnection, where: str, seconds: float, has_login: bool
) -> AsyncIterator[None]:
    """Closes the connection if the block is late or fails."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        await connection.disconnect(nowait=True)
        raise exceptions.TimeoutError(f"{where} did not answer within {seconds:.3g} s") from None
    except exceptions.AuthenticationError as error:
        await connection.disconnect(nowait=True)
        raise exceptions.ConnectionError(_login_error(where, error, has_login)) from None
    except exceptions.ResponseError as error:
        await connection.disconnect(nowait=True)
        raise exceptions.ConnectionError(f"{where} refused the connection: {error}") from None
    except BaseException:
        await connection.disconnect(nowait=True)
        raise


def _login_error(where: str, error: Exception, has_login: bool) -> str:
    if not has_login:
        return f"{where} requires a password: give it in the URL or as an option"
    return f"{where} refused the login: check the user and the password ({error})"


def _tls(options: RedisOptions) -> dict[str, Any]:
    return {
        "ssl_ca_certs": options.ssl_ca_certs,
        "ssl_certfile": options.ssl_certfile,
        "ssl_keyfile": options.ssl_keyfile,
        "ssl_cert_reqs": options.ssl_cert_reqs,
        "ssl_check_hostname": options.ssl_check_hostname,
    }
