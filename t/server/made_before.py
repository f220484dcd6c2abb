"""A server with several processes. Its module makes queues and sets their settings."""

import os

from tatsumaki_py import Application, Handler, MessageQueue, Server, SubscribeHandler

MessageQueue.configure(os.environ["REDIS"])


class News(MessageQueue):
    backlog_length = 3


MessageQueue.instance("dropped").backlog_length = 5
news = News.instance("news")
news.max_event_size = 20
said = MessageQueue.instance("said")
both = MessageQueue.instance("news", "said")


class Look(Handler):
    """Publishes the number of this worker, and answers with the state of its queues."""

    async def get(self):
        number = os.environ["TATSUMAKI_WORKER"]
        await news.publish(number)
        await both.ready()
        dropped = MessageQueue.instance("dropped")
        known = type(MessageQueue.instance("news")).__name__, news.max_event_size
        events = [event.data for event in news.backlog_events]
        self.write([number, dropped.backlog_length, *known, events])


class Events(SubscribeHandler):
    def on_subscribe(self, channel):
        if channel == "news":
            said.publish(f"{self.client_id()} came")

    def on_unsubscribe(self, channel):
        if channel == "news":
            said.publish(f"{self.client_id()} left")


app = Application([("/", Look), (r"/events/([\w,]+)", Events)])
Server(processes=2).run(app)
