"""The commands: ``serve``, the default, which serves an application, and the others by name."""

__all__ = ["NAMES"]

NAMES = ("publish", "subscribe")
