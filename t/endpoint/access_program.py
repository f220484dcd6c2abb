"""A program that uses tickets, `disconnect` and limits for each address."""

import asyncio

from tatsumaki_py import (
    Application,
    Handler,
    MessageQueue,
    PublishHandler,
    Server,
    TicketedHandler,
)

banned = set()


class Tickets(Handler):
    def get(self):
        group = self.request.param("user")
        self.write(self.create_ticket(["room", "slow"], 60, group=group))


class Events(TicketedHandler):
    max_per_address = 2
    recheck_time = 0.3
    asked = False

    async def can_subscribe(self, channel):
        group = self.check_ticket(channel).group
        if channel == "slow" and self.asked:
            # This simulates a database that does not answer.
            await asyncio.sleep(60)
        self.asked = True
        return group not in banned


class Ban(Handler):
    def post(self, user):
        banned.add(user)
        self.write({"ended": Events.disconnect(user)})


class There(Handler):
    def get(self):
        self.write(str(MessageQueue.instance("room").subscribers))


class Publish(PublishHandler):
    max_rate = 0.01
    max_burst = 1


app = Application(
    [
        ("/tickets", Tickets),
        ("/there", There),
        (r"/events/(\w+)", Events),
        (r"/ban/(\w+)", Ban),
        (r"/publish/(\w+)", Publish),
    ],
    cookie_secret="a secret of the tests",
)

if __name__ == "__main__":
    Server(xheaders=True, grace=0.2).run(app)
