"""Clients that read little."""

from support.wire import raw_small, small_buffers  # noqa: F401
