"""Bound sockets, which do not listen yet.

Rules:
1. An error leaves no socket open.
2. The file of a Unix socket is removed only by the process that made it, and only while it is that
   process's socket.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Collection

__all__ = ["ANY", "UnixSocket", "bind_tcp"]

ANY = {"0.0.0.0": socket.AF_INET, "::": socket.AF_INET6}
"""All addresses of this machine, by family."""


def bind_tcp(
    host: str, port: int, *, reuse_port: bool = False, bound: Collection[str] = ()
) -> list[socket.socket]:
    """A socket for each address of `host`, all on the same port. Skips the addresses in
    `bound`, and those that 0.0.0.0 or :: in `bound` covers.

    Like `tornado.netutil.bind_sockets`, but the sockets do not listen. As in Tornado, an IPv6
    socket accepts no IPv4 connections, so that 0.0.0.0 and :: can be used together.

    Raises `OSError`, or `UnicodeError` for an invalid host name.
    """
    if reuse_port and not hasattr(socket, "SO_REUSEPORT"):
        raise OSError("this system has no SO_REUSEPORT")
    family = socket.AF_UNSPEC if socket.has_ipv6 else socket.AF_INET
    found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, 0, socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    missing = None
    covered = [ANY[address] for address in bound if address in ANY]
    try:
        # IPv4 first.
        for kind, address in sorted({(kind, address) for kind, _, _, _, address in found}):
            if address[0] in bound or kind in covered:
                continue
            sock = None
            try:
                sock = socket.socket(kind, socket.SOCK_STREAM)
                _set_options(sock, reuse_port)
                sock.bind((address[0], port, *address[2:]))
            except OSError as error:
                if sock is not None:
                    sock.close()
                # A name such as localhost may have an IPv6 address on a machine without IPv6.
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                missing = error
                continue
            sockets.append(sock)
            port = sock.getsockname()[1]
        if missing is not None and not sockets:
            raise missing
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _set_options(sock: socket.socket, reuse_port: bool) -> None:
    sock.setblocking(False)
    # On Windows, SO_REUSEADDR would take over the port of a running program.
    if os.name != "nt":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if reuse_port:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)


class UnixSocket(socket.socket):
    """A Unix socket with a file, which is removed when the socket is closed."""

    _file: tuple[str, int, os.stat_result] | None = None
    """The path of the file, the process that made it, and its status at that time."""

    @classmethod
    def bound(cls, path: str, mode: int) -> UnixSocket:
        """A socket bound to `path`, with the permissions `mode`. Replaces a socket that no process
        listens on.

        Raises `OSError` if a process listens there, or if the path is not that of a socket.
        """
        if not hasattr(socket, "AF_UNIX"):
            raise OSError("this system has no Unix sockets")
        _remove_stale(path)
        sock = cls(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.bind(path)
            sock._file = os.path.abspath(path), os.getpid(), os.lstat(path)
            # No client can have connected earlier, because the socket is not listening yet.
            os.chmod(path, mode)
        except BaseException:
            sock.close()
            raise
        return sock

    def listen(self, backlog: int = 128, /) -> None:
        """See `socket.socket.listen`. Raises `OSError` if the file is not that of this socket."""
        if not self._is_there():
            raise OSError("another process has replaced the file")
        super().listen(backlog)

    def close(self) -> None:
        """Close the socket and remove its file, unless another process has replaced it."""
        if self._file is not None and self._file[1] == os.getpid() and self._is_there():
            # An inode number cannot be reused while the socket is open.
            with contextlib.suppress(OSError):
                os.unlink(self._file[0])
        self._file = None
        super().close()

    def _is_there(self) -> bool:
        if self._file is None:
            return False
        path, _, made = self._file
        try:
            return os.path.samestat(os.lstat(path), made)
        except OSError:
            return False


def _remove_stale(path: str) -> None:
    """Remove the socket at `path`, if there is one and no process listens on it."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError("the file exists and is not a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        # Do not wait if the backlog is full: that, too, means that a process listens.
        client.setblocking(False)
        try:
            client.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            pass
    raise OSError(errno.EADDRINUSE, "another process listens there")
