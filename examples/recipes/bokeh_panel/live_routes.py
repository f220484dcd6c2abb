"""The routes of the channels, also for ``panel serve --plugins live_routes``."""

from tatsumaki_py import PublishHandler, SubscribeHandler

ROUTES = [("/events/(.*)", SubscribeHandler), ("/publish/(.*)", PublishHandler)]
