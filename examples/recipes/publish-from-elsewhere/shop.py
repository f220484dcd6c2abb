"""A Django project in one file. Its view publishes after the commit.

    PUBLISH_URL='http://shop:only for this example@127.0.0.1:5000/publish/{channel}' PORT=8000 \\
        .venv/bin/python examples/recipes/publish-from-elsewhere/shop.py

    curl -d item=tea -d count=2 http://127.0.0.1:8000/orders
"""

import os
from wsgiref.simple_server import make_server

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connection, models, transaction
from django.http import JsonResponse
from django.urls import path
from django.views.decorators.http import require_POST

from tatsumaki_py.publisher import Publisher

URL = os.environ.get("PUBLISH_URL", "http://127.0.0.1:5000/publish/{channel}")

settings.configure(
    SECRET_KEY="only for this example",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ.get("DATABASE", ":memory:"),
        }
    },
    LOGGING={
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"console": {"class": "logging.StreamHandler"}},
        "root": {"handlers": ["console"]},
    },
)
django.setup()

# A view waits at most this long if the push server is down.
publisher = Publisher(URL, publish_timeout=1)
STOCK = {"tea": 100, "coffee": 1}


class Order(models.Model):
    item = models.CharField(max_length=50)
    count = models.PositiveIntegerField()

    class Meta:
        app_label = "shop"


@require_POST
def create(request):
    item, count = request.POST.get("item", ""), request.POST.get("count", "")
    if item not in STOCK or not count.isdecimal():
        return JsonResponse({"error": "an item of the shop and a count are needed"}, status=400)
    try:
        with transaction.atomic():
            order = Order.objects.create(item=item, count=int(count))
            # robust: an error is logged, and the view continues. The order is in the database.
            transaction.on_commit(lambda: publish(order), robust=True)
            take(item, int(count))
    except LookupError as error:
        return JsonResponse({"error": str(error)}, status=409)
    return JsonResponse({"order": order.pk})


def publish(order):
    # A second call for the same order publishes nothing.
    event = {"order": order.pk, "state": "new"}
    publisher.publish("orders", event, idempotency_key=f"order-{order.pk}-new")


def take(item, count):
    if STOCK[item] < count:
        raise LookupError(f"only {STOCK[item]} of {item} left")
    STOCK[item] -= count


urlpatterns = [path("orders", create)]

if __name__ == "__main__":
    with connection.schema_editor() as editor:
        editor.create_model(Order)
    port = int(os.environ.get("PORT", "8000"))
    with make_server("127.0.0.1", port, get_wsgi_application()) as server:
        print(f"Listening on http://127.0.0.1:{port}/", flush=True)
        server.serve_forever()
