"""PublishHandler: one URL to publish at.

>>> from tatsumaki_py import Application, PublishHandler
>>> app = Application([(r"/publish/([\\w.-]+)", PublishHandler)])
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable
from typing import Any, ClassVar, NoReturn

from tatsumaki_py.endpoint.channels import ChannelHandler
from tatsumaki_py.error import HTTPError
from tatsumaki_py.message_queue import MessageQueue
from tatsumaki_py.request import FORMS

__all__ = ["PublishHandler"]

_CHARSET = re.compile(r';\s*charset\s*=\s*"?([^";\s]*)', re.IGNORECASE)


class PublishHandler(ChannelHandler):
    """Publishes what is POSTed: a JSON object or the fields of a form is one event, a JSON list of
    objects is as many.

    Answers ``{"id": "1795643788411-0"}``; for a list ``{"ids": [...]}``. Who sends the header
    ``Idempotency-Key`` may send the request again, if the answer was lost: within
    `MessageQueue.idempotency_time` it is answered as the first one was, and nothing is published.

    400 for what is no event, 413 for too much (`max_batch`, `MessageQueue.max_event_size`), 415 for
    another content type, 422 for the key of another request. Forged requests are refused as the
    settings ``xsrf_cookies`` and ``cross_origin_protection`` say.
    """

    max_batch: ClassVar[int] = 1000
    """How many events one request may have."""

    def can_publish(self, channel: str) -> bool | Awaitable[bool]:
        """Whether the client may publish in `channel`. Override it, also with an ``async def``.

        False is answered with 403. Raise `Error.HTTP` for another answer, such as 401 or 404.
        """
        return True

    async def post(self, *args: str, **kwargs: str) -> None:
        names = await self._named()
        if len(names) > 1:
            raise HTTPError(400, "one channel at a time")
        await self._admit(self.can_publish, names)
        found = self._events()
        events = found if isinstance(found, list) else [found]
        if len(events) > self.max_batch:
            raise HTTPError(413, f"{len(events)} events are more than {self.max_batch}")
        for event in events:
            if not isinstance(event, dict):
                raise HTTPError(400, "an event is a JSON object")
        key = self.request.headers.get("Idempotency-Key")
        try:
            queue = MessageQueue.instance(names[0])
            # To publish nothing means something else.
            ids = await queue.publish(*events, idempotency_key=key) if events else []
        except ValueError as error:
            # What JSON can say and UTF-8 cannot: half of a surrogate pair.
            raise HTTPError(400, f"no event: {error}") from None
        self.write({"ids": ids} if isinstance(found, list) else {"id": ids[0]})

    def _events(self) -> Any:
        """The JSON or the form in the body; 4xx if it is neither."""
        request = self.request
        media_type = request.media_type
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise HTTPError(415, "a body with a Content-Encoding cannot be read")
        charset = _CHARSET.search(request.headers.get("Content-Type", ""))
        if charset and charset[1].lower() not in ("utf-8", "utf8", "us-ascii"):
            raise HTTPError(415, "an event is sent in UTF-8")
        if media_type == "application/json" or media_type.endswith("+json"):
            return _parse(request.body)
        if media_type not in FORMS:
            raise HTTPError(415, "an event is JSON (application/json) or a form")
        body = request.body.strip()
        if (body[:1], body[-1:]) in ((b"{", b"}"), (b"[", b"]")):
            # curl -d, and other clients, name it a form unless they are told.
            raise HTTPError(415, "for an event as JSON send Content-Type: application/json")
        if request.files:
            raise HTTPError(400, "a file cannot be published")
        fields = dict(request.body_parameters)
        fields.pop("_xsrf", None)
        if not fields:
            raise HTTPError(400, "a form without fields is no event")
        return fields


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body, parse_constant=_no_json)
    except RecursionError:
        raise HTTPError(400, "not JSON: too deep") from None
    except ValueError as error:
        raise HTTPError(400, f"not JSON: {error}") from None


def _no_json(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
