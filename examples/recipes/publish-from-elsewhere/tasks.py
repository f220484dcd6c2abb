"""A Celery task that publishes. Start a worker in this folder:

    PUBLISH_URL='http://shop:only for this example@127.0.0.1:5000/publish/{channel}' \\
        celery -A tasks worker

and run the task: ``celery -A tasks call tasks.ship --args '[7]'``
"""

import os

from celery import Celery

from tatsumaki_py import Error
from tatsumaki_py.publisher import Publisher

URL = os.environ.get("PUBLISH_URL", "http://127.0.0.1:5000/publish/{channel}")

app = Celery("shop", broker=os.environ.get("BROKER", "redis://127.0.0.1:6379/0"))
app.conf.task_ignore_result = True

# Each worker process opens its own connections when it publishes for the first time. If the server
# is down, the process is free again after a second, and the task is run again later.
publisher = Publisher(URL, publish_timeout=1)


@app.task(name="tasks.ship", bind=True, acks_late=True, max_retries=20)
def ship(self, order):
    event = {"order": order, "state": "shipped"}
    try:
        # All attempts of one task have the same id, so the event is published once.
        publisher.publish("orders", event, idempotency_key=self.request.id)
    except Error.HTTP as error:
        if error.code != 503:
            raise  # The server refuses the event: another attempt would not help.
        # 1 s, 2 s, 4 s and so on, up to a minute.
        raise self.retry(countdown=min(2**self.request.retries, 60)) from None
