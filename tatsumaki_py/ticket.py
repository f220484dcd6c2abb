"""Tickets: texts in a URL that let a client subscribe to some channels for a while.

Rules:
1. A ticket is one of Tornado's signed values, under a separate name, so that no cookie of a
   program is a valid ticket, and no ticket is a valid cookie.
2. The text of a ticket needs no escaping in a URL.
3. The signature of a text is checked before any of its content is used.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from tatsumaki_py.group import group_key

__all__ = ["LONGEST", "Signing", "Ticket", "create", "read"]

LONGEST = 86_400.0
"""The most seconds for which a ticket may be valid."""
MAX_CHANNELS = 200
# The name under which a ticket is signed. It is part of the text.
_NAME = "TatsumakiTicket"
# The head of a request may have 32 KiB.
_MAX_TEXT = 16_384
_SAFE = str.maketrans("+/=|", "-_~.")
_UNSAFE = str.maketrans("-_~.", "+/=|")


class Signing(Protocol):
    """A `tornado.web.RequestHandler`, as this module sees it."""

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of its application."""

    def create_signed_value(self, name: str, value: str | bytes) -> bytes:
        """See `tornado.web.RequestHandler.create_signed_value`."""

    def get_signed_cookie(
        self,
        name: str,
        value: str | None = None,
        max_age_days: float = 31,
        min_version: int | None = None,
    ) -> bytes | None:
        """See `tornado.web.RequestHandler.get_signed_cookie`."""


class Ticket(NamedTuple):
    """The content of a valid ticket."""

    channels: list[str]
    """The names of the channels."""
    group: str | None
    """The user; None if the ticket has none."""
    made: float
    """When the ticket was made, in seconds since the epoch."""
    expires: float
    """When the ticket expires, in seconds since the epoch."""


def create(
    handler: Signing,
    channels: Iterable[str | int],
    seconds: float,
    group: str | bytes | int | None,
) -> str:
    """The text of a new ticket; see `tatsumaki_py.Handler.create_ticket`."""
    _check_secret(handler, "create_ticket()")
    if isinstance(channels, (str, bytes)):
        raise TypeError(f"create_ticket() takes a list of channels: [{channels!r}]")
    names = [str(name) if type(name) is int else name for name in channels]
    if not names or len(names) > MAX_CHANNELS:
        raise ValueError(f"a ticket is for 1 to {MAX_CHANNELS} channels, not {len(names)}")
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"the name of a channel must be a str, not {names!r}")
    number: object = seconds
    if not isinstance(number, (int, float)):
        raise TypeError(f"a ticket is valid for a number of seconds, not {seconds!r}")
    if not 0 < seconds <= LONGEST:
        raise ValueError(f"a ticket may be valid for up to {LONGEST:.0f} seconds, not {seconds!r}")
    now = time.time()
    key = group_key(group, "the group of a ticket")
    value = json.dumps([names, key, now, now + seconds], separators=(",", ":"))
    text = handler.create_signed_value(_NAME, value).decode().translate(_SAFE)
    if len(text) > _MAX_TEXT:
        raise ValueError(f"a ticket of {len(text)} characters is too long for a URL")
    return text


def read(handler: Signing, text: str) -> Ticket | None:
    """The ticket in `text`, which may have expired; None if it was not signed with a secret of this
    program.
    """
    _check_secret(handler, "a ticket")
    if len(text) > _MAX_TEXT:
        return None
    value = text.translate(_UNSAFE)
    # Turn off Tornado's age limit, because a ticket has its own, and refuse version 1 of signed
    # values, which does not separate the name from the value.
    signed = handler.get_signed_cookie(_NAME, value, max_age_days=math.inf, min_version=2)
    return None if signed is None else Ticket(*json.loads(signed))


def _check_secret(handler: Signing, what: str) -> None:
    secret = handler.settings.get("cookie_secret")
    if not secret:
        raise RuntimeError(
            f"{what} needs the setting cookie_secret: Application(..., cookie_secret=SECRET) with a"
            " long random string, the same in all processes and after a restart"
        )
    if isinstance(secret, dict) and handler.settings.get("key_version") not in secret:
        raise RuntimeError(
            f"{what} needs the setting key_version, one of {sorted(secret)}: the key of"
            " cookie_secret that signs"
        )
