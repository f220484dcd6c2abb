"""The routes of the channels, also for ``panel serve --plugins live_routes``."""

from tatsumaki_py import PublishHandler, SubscribeHandler

ROUTES = [("/events/(.*)", SubscribeHandler), ("/publish/(.*)", PublishHandler)]


def texts(events):
    """The texts of events. Any client may publish here, even events without a text."""
    return [str(event["text"]) for event in events if isinstance(event, dict) and "text" in event]
