"""Where a `Server` listens: TCP addresses, a Unix socket, or the sockets that systemd opened.

Rules:
1. A socket is bound first, and listens only when the application has started, so that no client
   waits for an application that fails to start.
2. The error for an unusable address is one line, with the address and the sources of its values.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

from tatsumaki_py.server import systemd
from tatsumaki_py.server.bind import ANY, UnixSocket, bind_tcp

__all__ = ["Addresses", "ListenError"]

BACKLOG = 4096
"""Connections that may wait to be accepted. With Tornado's 128, some of a thousand clients that
connect at the same time would wait for seconds.
"""
HOST = "127.0.0.1"
"""Unreachable from the network, unlike plackup's default."""
PORT = 5000
"""plackup's default."""
VARIABLES = {"host": ("TATSUMAKI_HOST",), "port": ("TATSUMAKI_PORT", "PORT")}
"""Names in the environment; the first that is set wins. HOST is not read, because conda sets it to
the name of a platform.
"""
AIRPLAY_PORTS = (5000, 7000)
"""The ports of the AirPlay Receiver of macOS."""


class ListenError(OSError):
    """An address that cannot be used. Its text is one line."""


class _Value(NamedTuple):
    """A value with the argument or the variable that it came from. Both are None for a default."""

    value: Any
    argument: str | None = None
    variable: str | None = None


class _Bound(NamedTuple):
    """An address, its sockets, and the settings that it came from."""

    address: str
    sockets: list[socket.socket]
    settings: tuple[str, ...]
    port: int | None = None


class Addresses:
    """The addresses of one server. Its arguments are those of `Server`.

    Raises `ValueError` for invalid arguments. `bind` checks the values of the environment.
    """

    def __init__(
        self,
        host: str | Iterable[str] | None = None,
        port: int | str | None = None,
        unix: str | os.PathLike[str] | None = None,
        mode: int = 0o660,
        reuse_port: bool = False,
    ) -> None:
        hosts = _hosts(host)
        if port is not None and _port(port) is None:
            raise ValueError(f"port= takes a number from 0 to 65535, not {port!r}")
        path = os.fsdecode(unix) if unix is not None else None
        if path is not None and (not path or "\0" in path):
            raise ValueError(f"unix= takes the path of a file, not {path!r}")
        permissions: object = mode
        if not isinstance(permissions, int) or not 0 <= permissions <= 0o777:
            raise ValueError(f"mode= takes permissions, such as 0o660, not {mode!r}")
        if reuse_port and path is not None:
            raise ValueError(
                "reuse_port= cannot be combined with unix=: only one process can listen there"
            )
        self.argument = "the argument {}="
        """How an error names a setting from the program. The command line uses ``--{}``."""
        self._settings = {
            "host": _chosen("host", hosts, [HOST]),
            "port": _chosen("port", port, PORT),
            "unix": _Value(path, argument="unix"),
        }
        self._tcp = path is None or bool(hosts) or port is not None
        self._mode = mode
        self._reuse_port = reuse_port
        self._activated = False
        self._bound: list[_Bound] = []

    @property
    def port(self) -> int | None:
        """See `Server.port`."""
        if self._bound:
            return next((bound.port for bound in self._bound if bound.port is not None), None)
        return _port(self._settings["port"].value) if self._tcp else None

    def bind(self) -> None:
        """Bind the sockets, if they are not bound yet. If systemd opened sockets for this process,
        these replace all others.

        Raises `ListenError` and leaves no socket bound.
        """
        if self._bound:
            return
        try:
            activated = systemd.activated_sockets()
        except (OSError, ValueError) as error:
            raise ListenError(f"Cannot listen: {error}") from None
        self._activated = bool(activated)
        if activated:
            self._bound = [_Bound(_address(sock), [sock], (), _port_of(sock)) for sock in activated]
            return
        try:
            if self._tcp:
                self._bind_tcp()
            if self._settings["unix"].value is not None:
                self._bind_unix(self._settings["unix"].value)
        except BaseException:
            self.close()
            raise

    def _bind_tcp(self) -> None:
        value, _, variable = self._settings["port"]
        port = _port(value)
        if port is None:
            raise ListenError(f"{variable} must be a number from 0 to 65535, not {value!r}")
        # 0.0.0.0 and :: come first, because they cover the other addresses.
        for host in sorted(self._settings["host"].value, key=lambda host: host not in ANY):
            # For example, localhost may be 127.0.0.1, which is already bound.
            bound = {sock.getsockname()[0] for sock in self._sockets()}
            try:
                sockets = bind_tcp(host, port, reuse_port=self._reuse_port, bound=bound)
            except (OSError, UnicodeError) as error:
                raise self._error(_tcp_address(host, port), ("host", "port"), error) from None
            # With port 0, the first host gets a free port, and the others get the same one.
            port = int(sockets[0].getsockname()[1]) if sockets else port
            self._bound.append(_Bound(_tcp_address(host, port), sockets, ("host", "port"), port))

    def _bind_unix(self, path: str) -> None:
        try:
            sock = UnixSocket.bound(path, self._mode)
        except (OSError, UnicodeError) as error:
            raise self._error(f"unix:{path}", ("unix",), error) from None
        self._bound.append(_Bound(f"unix:{path}", [sock], ("unix",)))

    def listen(self) -> list[socket.socket]:
        """Listen on the bound sockets, and return them. Raises `ListenError`."""
        for bound in self._bound:
            if self._activated:
                continue
            try:
                for sock in bound.sockets:
                    sock.listen(BACKLOG)
            except OSError as error:
                raise self._error(bound.address, bound.settings, error) from None
        return self._sockets()

    def _sockets(self) -> list[socket.socket]:
        return [sock for bound in self._bound for sock in bound.sockets]

    def urls(self, scheme: str) -> list[str]:
        """The addresses: ``http://127.0.0.1:5000/`` or ``unix:/run/chat.sock``."""
        return [
            bound.address if bound.address.startswith("unix:") else f"{scheme}://{bound.address}/"
            for bound in self._bound
        ]

    def close(self) -> None:
        """Close the sockets, and remove the file of the Unix socket. May be called twice."""
        for sock in self._sockets():
            sock.close()
        self._bound = []

    def _error(self, address: str, settings: tuple[str, ...], error: Exception) -> ListenError:
        sources = [f"{name} {self._source(name)}" for name in settings]
        reason = getattr(error, "strerror", None) or str(error)
        number = getattr(error, "errno", None)
        port = int(address.rpartition(":")[2]) if "port" in settings else 0
        if number == errno.EADDRNOTAVAIL:
            reason = "this machine does not have that address"
        elif number == errno.EACCES and 0 < port < 1024:
            reason += "; most users cannot use ports below 1024"
        elif isinstance(error, socket.gaierror):
            reason = f"neither an address nor the name of one: {reason}"
        elif number == errno.EINVAL and "fe80:" in address:
            reason = "a link-local address needs its interface, such as fe80::1%eth0"
        text = f"Cannot listen on {address}: {reason} ({', '.join(sources)})"
        if number == errno.EADDRINUSE and port:
            text += (
                f". Stop the program that uses port {port}, or choose another port with "
                f"{self.argument.format('port')} or {VARIABLES['port'][0]}."
            )
            if sys.platform == "darwin" and port in AIRPLAY_PORTS:
                text += (
                    " On macOS it may be AirPlay Receiver: "
                    "System Settings > General > AirDrop & Handoff turns that off."
                )
        return ListenError(text)

    def _source(self, name: str) -> str:
        _, argument, variable = self._settings[name]
        if argument is not None:
            return f"from {self.argument.format(argument)}"
        return f"from {variable} in the environment" if variable is not None else "by default"


def _hosts(host: Any) -> list[str]:
    several = isinstance(host, Iterable) and not isinstance(host, (str, bytes))
    hosts = list(host) if several else [host or ""]
    if not all(isinstance(name, str) for name in hosts):
        raise ValueError(f"host= takes a name or an address, or several, not {host!r}")
    return [name for name in hosts if name]


def _chosen(name: str, given: Any, default: Any) -> _Value:
    """The argument, or the value of the environment, or the default."""
    if given not in (None, []):
        return _Value(given, argument=name)
    for variable in VARIABLES[name]:
        if value := os.environ.get(variable):
            return _Value([value] if name == "host" else value, variable=variable)
    return _Value(default)


def _port(value: int | str) -> int | None:
    try:
        number = int(str(value))
    except ValueError:
        return None
    return number if 0 <= number <= 65535 else None


def _port_of(sock: socket.socket) -> int | None:
    tcp = sock.family in (socket.AF_INET, socket.AF_INET6)
    return int(sock.getsockname()[1]) if tcp else None


def _tcp_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _address(sock: socket.socket) -> str:
    """The address of a socket that systemd opened."""
    name = sock.getsockname()
    if isinstance(name, tuple):
        return _tcp_address(name[0], name[1])
    path = os.fsdecode(name)
    # An abstract socket has no file; ss(8) and systemd write its zero byte as @.
    return f"unix:@{path[1:]}" if path.startswith("\0") else f"unix:{path}"
