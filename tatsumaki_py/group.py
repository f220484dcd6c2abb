"""The name of a group: the clients of one user."""

from __future__ import annotations

__all__ = ["group_key"]


def group_key(group: object, of: str = "group()") -> str | None:
    """The text of a group. Bytes, such as those of a cookie, are decoded as UTF-8, and an int
    becomes its text. None, for no group, stays None.

    Args:
        of: the source of the group, for the error message.

    Raises:
        TypeError: `group` is of another type.
        ValueError: `group` is empty.

    >>> group_key("7"), group_key(7), group_key(b"7")
    ('7', '7', '7')
    """
    if group is None:
        return None
    if type(group) is int:
        return str(group)
    if isinstance(group, bytes):
        group = group.decode("utf-8", "surrogateescape")
    if not isinstance(group, str):
        raise TypeError(f"{of} must be a str, bytes or int, such as a user's id, not {group!r}")
    if not group:
        raise ValueError(f"{of} is empty: use None for a client that belongs to no group")
    return group
