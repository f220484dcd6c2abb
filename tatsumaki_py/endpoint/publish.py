"""PublishHandler: a URL for publishing.

>>> from tatsumaki_py import Application, PublishHandler
>>> app = Application([(r"/publish/([\\w.-]+)", PublishHandler)])
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable
from typing import Any, ClassVar

from tatsumaki_py.at_once import in_task, runs_at_once
from tatsumaki_py.content_type import parameter
from tatsumaki_py.counters import COUNTERS
from tatsumaki_py.done import Done
from tatsumaki_py.endpoint import json_events
from tatsumaki_py.endpoint.channels import LEAST, ChannelHandler, check_limit
from tatsumaki_py.endpoint.per_address import RATES, address_of
from tatsumaki_py.error import HTTPError
from tatsumaki_py.form import FORMS
from tatsumaki_py.message_queue import MessageQueue
from tatsumaki_py.message_queue.alarm import now
from tatsumaki_py.message_queue.event_json import END, check_type, encode

__all__ = ["PublishHandler"]

_END = re.compile(rb'\s*{\s*"type"\s*:\s*"end"\s*}\s*')


class PublishHandler(ChannelHandler):
    """Publishes the body of a POST. A JSON value, or the fields of a form, is one event. A JSON
    list contains several events: to publish an event that is a list, put it into a list. JSON is
    published as it was sent.

    The answer is ``{"id": "1795643788411-812345678901"}``, or ``{"ids": [...]}`` for a list. A
    client that sends the header ``Idempotency-Key`` may repeat the request if the answer was lost:
    within `MessageQueue.idempotency_time` it gets the same answer, and nothing is published again.
    The header ``Event-Key`` sets the key of the events (`MessageQueue.publish`), in printable
    ASCII.

    Errors: 400 for a body that is not an event, 413 above a limit (`max_batch`, `max_values`,
    `max_body_size`, `MessageQueue.max_event_size`), 415 for another content type, 422 for an
    idempotency key that was used for other events, 429 for too many events (`max_rate`). The
    settings ``xsrf_cookies`` and ``cross_origin_protection`` protect against forged requests.
    """

    max_batch: ClassVar[int] = 1000
    """The most events in one request; 413 for more."""
    max_values: ClassVar[int] = 100_000
    """The most values (objects, lists, strings, numbers and so on) in the JSON of one request; 413
    for more. Reading 100 000 values takes about 30 ms, during which no other client is served.
    """
    max_body_size: ClassVar[int | None] = 2 * 1024 * 1024
    """See `Handler.max_body_size`. In a plain `tornado.web.Application`, a larger body is read and
    then refused.
    """

    may_end: ClassVar[bool] = False
    """Whether a client that may publish to a channel may also end it (`MessageQueue.end`), by
    sending the JSON ``{"type": "end"}``; 403 otherwise.
    """
    max_rate: ClassVar[float | None] = None
    """Events per second that one address (`Request.address`) may publish on average; None for no
    limit. 429 with ``Retry-After`` for more. Each class has its own count, in each process. A list
    is accepted whenever a single event would be, but all its events count. For IPv6 and proxies,
    see `SubscribeHandler.max_per_address`.
    """
    max_burst: ClassVar[int] = 20
    """Events that an address may publish in one burst after a pause."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_limit(cls, "max_rate", LEAST)
        check_limit(cls, "max_burst", 1)

    def can_publish(self, channel: str) -> bool | Awaitable[bool]:
        """Whether the client may publish to `channel`. Override this, with ``def`` or
        ``async def``.

        False is answered with 403. Raise `Error.HTTP` for another answer, such as 401 or 404.
        """
        return True

    @runs_at_once
    async def post(self, *args: str, **kwargs: str) -> None:
        rate = self.max_rate
        address = None if rate is None else address_of(self.request)
        if rate is not None and address is not None:
            self._check_rate(address, rate)
        names = await self._named()
        if len(names) > 1:
            raise HTTPError(400, "one channel at a time")
        await self._admit(self.can_publish, names)
        bodies, several = self._events()
        if rate is not None and address is not None:
            self._count(address, rate, max(len(bodies) - 1, 0))
        key = self.request.headers.get("Event-Key")
        if key is not None:
            if bodies == [END]:
                raise HTTPError(400, "the end of a channel cannot have a key")
            if not (key.isascii() and key.isprintable()):
                # The encoding of a header is unknown, so other characters might be decoded wrongly.
                raise HTTPError(400, "an Event-Key must be printable ASCII")
        idempotency_key = self.request.headers.get("Idempotency-Key")
        queue = MessageQueue.instance(names[0])
        ids: list[str] = []
        # Skip an empty list: `publish_json` without events would answer the waiting long polls.
        if bodies:
            published = queue.publish_json(*bodies, key=key, idempotency_key=idempotency_key)
            if not isinstance(published, Done):
                await in_task()
            ids = await published
        self.write({"ids": ids} if several else {"id": ids[0]})

    def _check_rate(self, address: str, rate: float) -> None:
        """Raise 429 if `address` has published too many events; otherwise count one more."""
        wait = RATES.wait((type(self), address), now(), rate, self.max_burst)
        if wait > 0:
            COUNTERS.refused["rate"] += 1
            raise HTTPError(429, "too many events from this address", retry_after=math.ceil(wait))
        self._count(address, rate, 1)

    def _count(self, address: str, rate: float, events: int) -> None:
        RATES.take((type(self), address), now(), rate, events)

    def _events(self) -> tuple[list[bytes], bool]:
        """The events in the body as JSON, and whether the body is a list of them. Raises 4xx for
        any other body.
        """
        request = self.request
        limit = self.max_body_size
        if limit is not None and len(request.body) > limit:
            raise HTTPError(413, f"more than {limit} bytes in one request")
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise HTTPError(415, "a body with a Content-Encoding cannot be read")
        charset = parameter(request.headers.get("Content-Type", ""), "charset")
        if charset is not None and charset.lower() not in ("utf-8", "utf8", "us-ascii"):
            raise HTTPError(415, "an event must be sent in UTF-8")
        media_type = request.media_type
        if media_type == "application/json" or media_type.endswith("+json"):
            if _END.fullmatch(request.body):
                if not self.may_end:
                    raise HTTPError(403, "channels cannot be ended here")
                return [END], False
            return json_events.read(request.body, self.max_values, self.max_batch)
        if media_type not in FORMS:
            raise HTTPError(415, "an event must be JSON (application/json) or a form")
        return [self._form()], False

    def _form(self) -> bytes:
        """The fields of the form in the body, as an event."""
        request = self.request
        body = request.body.strip()
        if (body[:1], body[-1:]) in ((b"{", b"}"), (b"[", b"]"), (b'"', b'"')):
            # This is JSON: by default, curl -d and other clients declare any body to be a form.
            raise HTTPError(415, "to publish JSON, send Content-Type: application/json")
        if request.files:
            raise HTTPError(400, "a file cannot be published")
        fields = dict(request.body_parameters)
        fields.pop("_xsrf", None)
        if not fields:
            raise HTTPError(400, "a form without fields is not an event")
        try:
            check_type(fields)
        except ValueError as error:
            raise HTTPError(400, f"not an event: {error}") from None
        return encode(fields)
