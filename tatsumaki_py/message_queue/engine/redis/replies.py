"""The meaning of errors from Redis.

Rule: redis-py removes the code from the text of errors that have a separate class. These are
    recognized by their class, all others by the code.
"""

from __future__ import annotations

import re

from redis import exceptions

__all__ = ["is_forgotten", "is_full", "is_lost", "is_passing", "may_not"]

# The code comes first. For an error in a script, Redis 6.2 puts the script's name before it.
_PASSING = re.compile(r"(?:^|: -)(?:BUSY|MISCONF|NOREPLICAS|READONLY) ")
_FULL = re.compile(": -OOM ")
# The texts of the error in a script: of Redis up to 7.0, and of later versions.
_FORBIDDEN = re.compile("The user executing the script can't|ACL failure in script")


def is_lost(reply: object) -> bool:
    """Whether there is no reply because the connection broke. The command may have run."""
    return isinstance(reply, (exceptions.RedisError, OSError)) and not isinstance(
        reply, exceptions.ResponseError
    )


def is_forgotten(reply: object) -> bool:
    """Whether Redis has forgotten the script, which must be sent as text."""
    return isinstance(reply, exceptions.NoScriptError)


def is_passing(reply: object) -> bool:
    """Whether the same command may succeed soon: Redis refused it temporarily, or did not reply."""
    if isinstance(reply, exceptions.ResponseError):
        known = (exceptions.ReadOnlyError, exceptions.ClusterDownError)
        return isinstance(reply, known) or _PASSING.search(str(reply)) is not None
    return is_lost(reply)


def is_full(reply: object) -> bool:
    """Whether Redis has no memory for the command."""
    return isinstance(reply, exceptions.OutOfMemoryError) or _FULL.search(str(reply)) is not None


def may_not(reply: object) -> bool:
    """Whether the ACL user lacks a permission."""
    known = isinstance(reply, exceptions.NoPermissionError)
    return known or _FORBIDDEN.search(str(reply)) is not None
