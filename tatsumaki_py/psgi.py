"""The environment of a request, by PSGI's names.

Source: the PSGI specification 1.102, ``Plack::Request``.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

from tornado.httputil import HTTPServerRequest, split_host_and_port

from tatsumaki_py.origin import DEFAULT_PORTS

__all__ = ["environment", "path_info"]


def path_info(request: HTTPServerRequest) -> str:
    """The path, percent-decoded as UTF-8; bad bytes are U+FFFD."""
    return unquote(request.path, errors="replace")


def environment(request: HTTPServerRequest) -> Mapping[str, Any]:
    """A read-only mapping by PSGI's keys. It does not reflect later changes to the request.

    A header whose name has an underscore is left out, because ``X_Real_IP`` would be mistaken for
    ``X-Real-IP``.
    """
    name, port = _server(request)
    env = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path_info(request),
        "REQUEST_URI": request.uri,
        "QUERY_STRING": request.query,
        "SERVER_NAME": name,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": request.version,
        "REMOTE_ADDR": request.remote_ip,
        "psgi.version": (1, 1),
        "psgi.url_scheme": request.protocol,
        "psgi.input": io.BytesIO(request.body),
        "psgi.multithread": False,
        "psgi.multiprocess": False,
        "psgi.run_once": False,
        "psgi.nonblocking": True,
        "psgi.streaming": True,
    }
    for header in request.headers:
        if "_" not in header:
            key = header.upper().replace("-", "_")
            prefix = "" if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_"
            env[prefix + key] = ", ".join(request.headers.get_list(header))
    return MappingProxyType(env)


def _server(request: HTTPServerRequest) -> tuple[str, str]:
    """The address and the port that the client reached. They are taken from the header Host if the
    connection no longer belongs to Tornado (a stream), or has no IP address.
    """
    stream = getattr(request.connection, "stream", None)
    if stream is not None and not stream.closed():
        address = stream.socket.getsockname()
        if isinstance(address, tuple):
            return str(address[0]), str(address[1])
    _, port = split_host_and_port(request.host)
    return request.host_name, str(port or DEFAULT_PORTS.get(request.protocol, 80))
