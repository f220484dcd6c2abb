"""The common part of the handlers of channels: finds the channels that a request names, and checks
the permission of its client.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, ClassVar

import tornado.web

from tatsumaki_py.at_once import at_once, in_task, may_run_at_once
from tatsumaki_py.counters import COUNTERS
from tatsumaki_py.endpoint.body_limit import UNREAD_SIZE
from tatsumaki_py.endpoint.cross_origin import CrossOriginHandler
from tatsumaki_py.error import HTTPError
from tatsumaki_py.message_queue.merged import MAX_MERGED

__all__ = ["LEAST", "ChannelHandler", "check_limit"]

LEAST = 1e-6
"""The smallest limit in seconds, or in events per second."""


def check_limit(cls: type, name: str, least: float) -> None:
    """Raise `ValueError` unless the attribute `name` is a finite number of at least `least`, or
    None for no limit.
    """
    limit: object = getattr(cls, name)
    if limit is None or (isinstance(limit, (int, float)) and least <= limit < math.inf):
        return
    raise ValueError(
        f"{cls.__name__}.{name} must be a finite number of at least {least:g}, or None, "
        f"not {limit!r}"
    )


class ChannelHandler(CrossOriginHandler):
    """A handler of requests that name channels."""

    max_channels: ClassVar[int] = 20
    """The most channels that one request may name, from 1 to 200; 400 for more."""

    max_body_size: ClassVar[int | None] = UNREAD_SIZE
    """See `Handler.max_body_size`. The default is small: to subscribe, a request needs no body."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not 1 <= cls.max_channels <= MAX_MERGED:
            raise ValueError(f"max_channels must be 1 to {MAX_MERGED}, not {cls.max_channels!r}")

    def _execute(
        self, transforms: list[tornado.web.OutputTransform], *args: bytes, **kwargs: bytes
    ) -> Any:
        running = super()._execute(transforms, *args, **kwargs)
        # A request runs in a task if user code runs before the method, or if its body is a stream.
        quick = (
            may_run_at_once(getattr(type(self), str(self.request.method).lower(), None))
            and type(self).prepare is tornado.web.RequestHandler.prepare
            and self._prepared_future is None
        )
        return at_once(running) if quick else running

    def channels(self) -> Iterable[str] | Awaitable[Iterable[str]]:
        """The names of the channels that the request is for. Override this, with ``def`` or
        ``async def``, to choose other names.

        The default is the text that the group of the route matched. Without a group, or if the
        group matched nothing, the names are the ``channel`` parameters of the query. If the route
        has several groups, you must override this.
        """
        groups: list[str | None] = [*self.path_args, *self.path_kwargs.values()]
        if len(groups) > 1:
            raise TypeError(
                f"the route of {type(self).__name__} has {len(groups)} groups: override channels()"
                " to choose the channel names, or write the other groups as (?:...)"
            )
        if groups and groups[0] is not None:
            return [groups[0]]
        return self.request.query_parameters.get_all("channel")

    async def _named(self) -> list[str]:
        """The channels without duplicates, in the order of the request."""
        given = self.channels()
        if type(given) is list and len(given) == 1 and given[0]:
            return given[:]
        if not isinstance(given, (list, tuple)) and inspect.isawaitable(given):
            await in_task()
            names = await given
        else:
            names = given
        if isinstance(names, str):
            raise TypeError(f"channels() must return a list of names, not {names!r}")
        names = list(dict.fromkeys(names))
        if not names or "" in names:
            raise HTTPError(400, "missing parameter: channel")
        if len(names) > self.max_channels:
            most = self.max_channels
            raise HTTPError(400, f"{len(names)} channels, but at most {most} are allowed")
        return names

    async def _admit(
        self, may: Callable[[str], bool | Awaitable[bool]], names: Iterable[str]
    ) -> None:
        """Raise 403 unless `may` returns True for all channels."""
        for name in names:
            try:
                answer = may(name)
                if answer is True:
                    continue
                if inspect.isawaitable(answer):
                    await in_task()
                admitted: object = await answer if inspect.isawaitable(answer) else answer
                if admitted is None:
                    raise TypeError(f"{may.__name__}() must return True or False, not None")
                if not admitted:
                    raise HTTPError(403)
            except tornado.web.HTTPError as error:
                if error.status_code in (401, 403):
                    COUNTERS.refused["forbidden"] += 1
                raise
