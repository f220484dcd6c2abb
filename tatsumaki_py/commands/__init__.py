"""The commands: ``serve``, which serves an application, and the named ones."""

__all__ = ["NAMES"]

NAMES = ("publish", "subscribe")
