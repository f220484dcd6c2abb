"""Tatsumaki on Tornado: answer at once, later, or keep pushing.

Everything is imported from here: ``from tatsumaki_py import Application, Handler, MessageQueue``.
"""

from tatsumaki_py.application import Application
from tatsumaki_py.endpoint.health import HealthHandler
from tatsumaki_py.endpoint.metrics import MetricsHandler
from tatsumaki_py.endpoint.publish import PublishHandler
from tatsumaki_py.endpoint.subscribe import SubscribeHandler
from tatsumaki_py.endpoint.ticketed import TicketedHandler
from tatsumaki_py.error import Error
from tatsumaki_py.handler import Handler
from tatsumaki_py.http_client import HTTPClient
from tatsumaki_py.message_queue import Event, MessageQueue
from tatsumaki_py.push.websocket import WebSocketHandler
from tatsumaki_py.request import Request
from tatsumaki_py.response import Response
from tatsumaki_py.server import Server
from tatsumaki_py.service import Service
from tatsumaki_py.snapshot import Snapshot
from tatsumaki_py.static_file import TatsumakiJS
from tatsumaki_py.template import Template

__all__ = [
    "Application",
    "Error",
    "Event",
    "HTTPClient",
    "Handler",
    "HealthHandler",
    "MessageQueue",
    "MetricsHandler",
    "PublishHandler",
    "Request",
    "Response",
    "Server",
    "Service",
    "Snapshot",
    "SubscribeHandler",
    "TatsumakiJS",
    "Template",
    "TicketedHandler",
    "WebSocketHandler",
]

__version__ = "0.1.0"
