"""The program of the recipes on deploying: channels to subscribe to and to publish to.

Any client may publish, so keep it private or add `can_publish` (docs/guide/access.md).
"""

from tatsumaki_py import Application, HealthHandler, PublishHandler, Server, SubscribeHandler

app = Application(
    [
        (r"/events/(\w+)", SubscribeHandler),
        (r"/publish/(\w+)", PublishHandler),
        ("/health", HealthHandler),
    ]
)

if __name__ == "__main__":
    # The proxy sends the address of each client, so only the proxy may connect.
    Server(xheaders=True).run(app)
