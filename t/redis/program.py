"""A worker of the fault tests: its clients subscribe and publish, and events are kept."""

from tatsumaki_py import (
    Application,
    HealthHandler,
    MessageQueue,
    PublishHandler,
    Server,
    SubscribeHandler,
)
from tatsumaki_py.push.framing import server_sent_events

# Milliseconds, so that tests need not wait for seconds.
server_sent_events.RETRY = 50, 100

MessageQueue.buffer_length = 100_000
MessageQueue.reconnect_time = MessageQueue.recovery_time = 600.0

app = Application(
    [
        (r"/events/([\w.-]+)", SubscribeHandler),
        ("/events", SubscribeHandler),
        (r"/publish/([\w.-]+)", PublishHandler),
        ("/health", HealthHandler),
    ]
)

if __name__ == "__main__":
    Server().run(app)
