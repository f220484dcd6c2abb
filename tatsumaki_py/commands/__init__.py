"""The commands: ``serve``, which serves an application, and those that have a name."""

__all__ = ["NAMES"]

NAMES = ("publish", "subscribe")
