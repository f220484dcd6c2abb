"""Tatsumaki on Tornado: answer immediately, later, or keep pushing.

Import everything from here: ``from tatsumaki_py import Application, Handler, MessageQueue``. A
module is imported when one of its names is first used, so a program that only publishes does not
import the server.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tatsumaki_py.application import AnyService, Application
    from tatsumaki_py.endpoint.cross_origin import CrossOriginHandler
    from tatsumaki_py.endpoint.health import HealthHandler
    from tatsumaki_py.endpoint.metrics import MetricsHandler
    from tatsumaki_py.endpoint.publish import PublishHandler
    from tatsumaki_py.endpoint.subscribe import SubscribeHandler
    from tatsumaki_py.endpoint.ticketed import TicketedHandler
    from tatsumaki_py.error import Error
    from tatsumaki_py.handler import Handler
    from tatsumaki_py.http_client import HTTPClient, HTTPResponse
    from tatsumaki_py.json_codec import JSONCodec
    from tatsumaki_py.message_queue import (
        AwaitedPoll,
        Client,
        Event,
        IteratedPoll,
        MergedQueue,
        MessageQueue,
        Poll,
        Published,
        State,
    )
    from tatsumaki_py.push.counted import StreamInfo
    from tatsumaki_py.push.websocket import WebSocketHandler
    from tatsumaki_py.request import MultiValue, Request
    from tatsumaki_py.response import Cookies, Response
    from tatsumaki_py.server import Server
    from tatsumaki_py.service import Service
    from tatsumaki_py.snapshot import Durations, Snapshot
    from tatsumaki_py.static_file import TatsumakiJS
    from tatsumaki_py.template import Template, TemplateEngine
    from tatsumaki_py.ticket import Ticket

__all__ = [
    "AnyService",
    "Application",
    "AwaitedPoll",
    "Client",
    "Cookies",
    "CrossOriginHandler",
    "Durations",
    "Error",
    "Event",
    "HTTPClient",
    "HTTPResponse",
    "Handler",
    "HealthHandler",
    "IteratedPoll",
    "JSONCodec",
    "MergedQueue",
    "MessageQueue",
    "MetricsHandler",
    "MultiValue",
    "Poll",
    "PublishHandler",
    "Published",
    "Request",
    "Response",
    "Server",
    "Service",
    "Snapshot",
    "State",
    "StreamInfo",
    "SubscribeHandler",
    "TatsumakiJS",
    "Template",
    "TemplateEngine",
    "Ticket",
    "TicketedHandler",
    "WebSocketHandler",
]

__version__ = "0.2.0"

# The module of each name. (`__getattr__` is hidden from type checkers, or any name would pass.)
_MODULES = {
    "AnyService": "application",
    "Application": "application",
    "AwaitedPoll": "message_queue",
    "Client": "message_queue",
    "Cookies": "response",
    "CrossOriginHandler": "endpoint.cross_origin",
    "Durations": "snapshot",
    "Error": "error",
    "Event": "message_queue",
    "HTTPClient": "http_client",
    "HTTPResponse": "http_client",
    "Handler": "handler",
    "HealthHandler": "endpoint.health",
    "IteratedPoll": "message_queue",
    "JSONCodec": "json_codec",
    "MergedQueue": "message_queue",
    "MessageQueue": "message_queue",
    "MetricsHandler": "endpoint.metrics",
    "MultiValue": "request",
    "Poll": "message_queue",
    "PublishHandler": "endpoint.publish",
    "Published": "message_queue",
    "Request": "request",
    "Response": "response",
    "Server": "server",
    "Service": "service",
    "Snapshot": "snapshot",
    "State": "message_queue",
    "StreamInfo": "push.counted",
    "SubscribeHandler": "endpoint.subscribe",
    "TatsumakiJS": "static_file",
    "Template": "template",
    "TemplateEngine": "template",
    "Ticket": "ticket",
    "TicketedHandler": "endpoint.ticketed",
    "WebSocketHandler": "push.websocket",
}

_PARTS = {module.partition(".")[0] for module in _MODULES.values()}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        module = _MODULES.get(name)
        if module is not None:
            value = getattr(import_module(f"{__name__}.{module}"), name)
        elif name in _PARTS:
            value = import_module(f"{__name__}.{name}")
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
