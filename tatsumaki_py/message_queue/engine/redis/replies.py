"""What a reply of Redis means that is not what was asked for.

Rule: redis-py cuts the code off the text of errors that have a class of their own: those are told
by their class, and the others by the code.
"""

from __future__ import annotations

import re

from redis import exceptions

__all__ = ["is_forgotten", "is_full", "is_lost", "is_passing", "may_not"]

# A code is at the beginning; if a script has met it, Redis 6.2 puts the script's name before it.
_PASSING = re.compile(r"(?:^|: -)(?:BUSY|MISCONF|NOREPLICAS|READONLY) ")
_FULL = re.compile(": -OOM ")


def is_lost(reply: object) -> bool:
    """Whether there is no reply, because the connection broke: the command may have run."""
    return isinstance(reply, (exceptions.RedisError, OSError)) and not isinstance(
        reply, exceptions.ResponseError
    )


def is_forgotten(reply: object) -> bool:
    """Whether Redis has forgotten the script: it is to be sent as text."""
    return isinstance(reply, exceptions.NoScriptError)


def is_passing(reply: object) -> bool:
    """Whether Redis refused the command, or there is no reply, and it may be different soon."""
    if isinstance(reply, exceptions.ResponseError):
        known = (exceptions.ReadOnlyError, exceptions.ClusterDownError)
        return isinstance(reply, known) or _PASSING.search(str(reply)) is not None
    return is_lost(reply)


def is_full(reply: object) -> bool:
    """Whether Redis has no memory for the command."""
    return isinstance(reply, exceptions.OutOfMemoryError) or _FULL.search(str(reply)) is not None


def may_not(reply: object) -> bool:
    """Whether the ACL user lacks a right."""
    text = "The user executing the script can't"
    return isinstance(reply, exceptions.NoPermissionError) or str(reply).startswith(text)
